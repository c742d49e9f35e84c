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

/**
 * Joins Describe calls that name ids and nothing else, from any number of callers within the window, into calls of at
 * most 100 ids. Each caller gets the ENIs it asked for; all callers of a batch share its failure.
 */
export function coalesceDescribe(describe: Cloud['describeEnis'], clock: Clock): (ids: readonly string[]) => Promise<readonly Eni[]> {
  let open: Batch | undefined

  const start = (): Batch => {
    const ids = new Set<string>()
    const result = new Promise<ReadonlyMap<string, Eni>>((resolve, reject) => {
      clock.after(coalesceWindow, () => {
        if (open?.ids === ids) open = undefined
        describe({ ids: [...ids] }).then(enis => resolve(new Map(enis.map(e => [e.id, e]))), reject)
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
