// SPDX-License-Identifier: Apache-2.0
import type { EntryOp } from '#kernel/op.ts'
import type { KernelError, PinnedMaps } from '#kernel/port.ts'
import { AppError } from '#lib/errors.ts'
import { type Change, inOrder } from '#state/entry.ts'
import { Blocked } from '#sync/blocked.ts'
import type { SyncReport } from '#sync/report.ts'
import type { Wanted } from '#sync/wanted.ts'

/** How many entries one call of the kernel writes: others get their turn between two. */
const batch = 500
/** terwayd has not made them, or has taken them away. */
export class NoMaps extends AppError<'no-maps'> {}

/** The map takes no more entries, or the kernel no more memory. */
const noRoom = ['E2BIG', 'ENOSPC', 'ENOMEM']

export interface Written {
  readonly written: number
  readonly refused: number
  /** Of the last one that was refused. */
  readonly error?: KernelError
  /** What was refused, if anything, was so for lack of room. */
  readonly onlyForRoom: boolean
}

/**
 * Writes what is pending, once. An entry that is refused holds up only what points at it; whatever others may still point at then stays.
 * `makeRoom`: it goes all the same, when there is no room for what shall replace it. Stops after a batch when the signal says so. Throws NoMaps, and
 * KernelError when the kernel cannot be asked.
 */
export async function writePending(
  wanted: Wanted,
  kernel: Pick<PinnedMaps, 'apply'>,
  report: SyncReport,
  makeRoom: boolean,
  signal?: AbortSignal,
): Promise<Written> {
  const queue = inOrder(wanted.pending())
  const found = queue.findIndex(c => c.value === undefined)
  const firstRemoval = found < 0 ? queue.length : found
  const writer = new Writer(wanted, kernel, report, signal)
  await writer.write(queue.slice(0, firstRemoval))
  const removals = queue.slice(firstRemoval)
  const { refused, onlyForRoom } = writer.sum
  const all = refused === 0 || (makeRoom && onlyForRoom)
  // Nothing points at a Service.
  await writer.write(all ? removals : removals.filter(c => c.map === 'services' && c.value === undefined))
  return writer.sum
}

class Writer {
  sum: Written = { written: 0, refused: 0, onlyForRoom: true }
  readonly #blocked = new Blocked()
  readonly #wanted: Wanted
  readonly #kernel: Pick<PinnedMaps, 'apply'>
  readonly #report: SyncReport
  readonly #signal: AbortSignal | undefined

  constructor(wanted: Wanted, kernel: Pick<PinnedMaps, 'apply'>, report: SyncReport, signal: AbortSignal | undefined) {
    this.#wanted = wanted
    this.#kernel = kernel
    this.#report = report
    this.#signal = signal
  }

  async write(changes: readonly Change[]): Promise<void> {
    for (let at = 0; at < changes.length; at += batch) {
      let rest = this.#unblocked(changes.slice(at, at + batch))
      while (rest.length > 0 && this.#signal?.aborted !== true) rest = this.#unblocked(await this.#apply(rest))
    }
  }

  /** One call; returns what was not tried since something before it was refused. */
  async #apply(changes: readonly Change[]): Promise<readonly Change[]> {
    const { done, failed } = await this.#kernel.apply(changes.map(opOf))
    for (const change of changes.slice(0, done.length)) this.#wanted.written(change)
    const { written } = this.sum
    this.sum = { ...this.sum, written: written + done.length }
    const refused = changes[done.length]
    if (failed === undefined || refused === undefined) return []
    this.#refuse(refused, failed)
    return changes.slice(done.length + 1)
  }

  #refuse(change: Change, error: KernelError): void {
    // The map is not pinned: nor are the others.
    if (error.errno === 'ENOENT') throw new NoMaps('no-maps', 'there are no maps of Services', { cause: error })
    const { refused, onlyForRoom } = this.sum
    this.sum = { ...this.sum, refused: refused + 1, error, onlyForRoom: onlyForRoom && noRoom.includes(error.errno) }
    this.#blocked.add(change)
    this.#report.refused(change.map, error)
  }

  #unblocked(changes: readonly Change[]): readonly Change[] {
    return changes.filter(change => {
      const held = this.#blocked.has(change)
      if (held) this.#blocked.add(change)
      return !held
    })
  }
}

function opOf({ map, key, value }: Change): EntryOp {
  return value === undefined ? { op: 'map-del', ns: 'host', map, key } : { op: 'map-put', ns: 'host', map, key, value }
}
