// SPDX-License-Identifier: Apache-2.0
import type { Cloud, Eni } from '#cloud/port.ts'
import type { Clock } from '#lib/clock.ts'

/** Milliseconds that a Describe of single ENIs waits for others: hundreds of nodes that poll an attachment share few calls. */
export const coalesceWindow = 50
const idsPerCall = 100

interface Batch {
  readonly ids: Set<string>
  readonly result: Promise<ReadonlyMap<string, Eni>>
}

/** Describes the ids that `close` gives. It is called right before the call is made, so that others may join until then. */
export type DescribeLate = (close: () => readonly string[]) => ReturnType<Cloud['describeEnis']>

/**
 * Joins Describe calls that name ids and nothing else, from any number of callers, into calls of at most 100 ids: those within
 * the window, and those that come while the batch waits for its budget. Each caller gets the ENIs it asked for; all callers of a
 * batch share its failure.
 */
export function coalesceDescribe(describe: DescribeLate, clock: Clock): (ids: readonly string[]) => Promise<readonly Eni[]> {
  let open: Batch | undefined

  const start = (): Batch => {
    const ids = new Set<string>()
    const close = () => {
      if (open?.ids === ids) open = undefined
      return [...ids]
    }
    const result = new Promise<ReadonlyMap<string, Eni>>((resolve, reject) => {
      clock.after(coalesceWindow, () => {
        describe(close).then(enis => resolve(new Map(enis.map(e => [e.id, e]))), reject)
      })
    })
    return { ids, result }
  }

  return async ids => {
    if (ids.length === 0) return []
    if (open === undefined || open.ids.size + ids.length > idsPerCall) open = start()
    const batch = open
    for (const id of ids) batch.ids.add(id)
    const found = await batch.result
    return ids.flatMap(id => found.get(id) ?? [])
  }
}
