// SPDX-License-Identifier: Apache-2.0
import { crashPoint } from '#daemon/crash-point.ts'
import type { Deps } from '#daemon/deps.ts'
import { Signal } from '#daemon/signal.ts'
import { addressesOf, type Book, podIdOf } from '#ipam/book.ts'
import type { Lease, LedgerChange } from '#ipam/ledger.ts'
import { messageOf } from '#lib/errors.ts'
import { cniError } from '#rpc/cni-error.ts'

/** DELs that come within this many milliseconds share one batch. */
const gather = 20
/** After a failure, or while devices remain. */
const retry = 1_000

/**
 * Ends dying leases: withdraws what routes to them, deletes their devices in batches, and only when the kernel confirms that
 * a device is gone drops the lease and lets its addresses cool, in one commit. Until then the addresses stay taken.
 */
export class Reaper {
  readonly #deps: Deps
  readonly #book: Book
  /** Container ids whose routes this process has withdrawn. */
  readonly #withdrawn = new Set<string>()
  readonly #progress = new Signal()
  #running = false
  #stopped = false

  constructor(deps: Deps, book: Book) {
    this.#deps = deps
    this.#book = book
  }

  /** Records that the lease ends, makes its addresses unroutable, and leaves the devices for later. Throws only what the ledger throws, and then nothing has happened. */
  async end(lease: Lease, reason: string): Promise<void> {
    const { clock, log } = this.#deps
    if (lease.state !== 'dying') {
      this.#book.commit([{ put: 'lease', lease: { ...lease, state: 'dying', since: clock.wall() } }])
      log.info({ pod: podIdOf(lease), container: lease.containerId, ips: addressesOf(lease), reason }, 'lease ends')
    }
    crashPoint('end-dying')
    await this.#withdraw(lease)
    this.kick()
  }

  kick(): void {
    if (this.#running || this.#stopped) return
    this.#running = true
    this.#deps.clock.after(gather, () => void this.#loop())
  }

  /** Waits until these leases are over; throws `try-again` when their devices are still there after `ms`. */
  async finish(containerIds: readonly string[], ms: number): Promise<void> {
    const { clock } = this.#deps
    const deadline = clock.now() + ms
    const left = () => containerIds.filter(id => this.#book.lease(id) !== undefined)
    while (left().length > 0) {
      const rest = deadline - clock.now()
      if (rest <= 0) throw cniError('try-again', `the devices of the previous sandbox (${left().join(', ')}) are not gone yet`)
      this.kick()
      await this.#progress.next(clock, rest)
    }
  }

  stop(): void {
    this.#stopped = true
  }

  #dying(): readonly Lease[] {
    return this.#book.leases().filter(l => l.state === 'dying')
  }

  async #withdraw(lease: Lease): Promise<boolean> {
    try {
      await this.#deps.datapath.withdraw(lease.attachment)
      crashPoint('withdrawn')
      this.#withdrawn.add(lease.containerId)
      return true
    } catch (err) {
      this.#deps.log.warn({ err, container: lease.containerId }, 'withdrawing routes failed, will be tried again')
      return false
    }
  }

  async #loop(): Promise<void> {
    let pause = 0
    while (this.#dying().length > 0 && !this.#stopped) {
      if (pause > 0) await this.#deps.clock.sleep(pause)
      pause = (await this.#round().catch(this.#failed)) ? gather : retry
    }
    this.#running = false
    // A DEL may have come between the last look and this line.
    if (this.#dying().length > 0) this.kick()
  }

  /** One batch; whether everything that was tried is over. */
  async #round(): Promise<boolean> {
    const ready: Lease[] = []
    const batch = this.#dying()
    for (const lease of batch) if (this.#withdrawn.has(lease.containerId) || (await this.#withdraw(lease))) ready.push(lease)
    const { gone } = await this.#deps.datapath.reap([...new Set(ready.map(l => l.attachment.hostIfName))])
    const over = ready.filter(l => gone.includes(l.attachment.hostIfName))
    crashPoint('reap-gone')
    const now = this.#deps.clock.wall()
    this.#book.commit(over.flatMap(lease => endOf(lease, now)))
    crashPoint('reap-dropped')
    for (const lease of over) this.#withdrawn.delete(lease.containerId)
    this.#progress.fire()
    return over.length === batch.length
  }

  readonly #failed = (err: unknown): boolean => {
    this.#deps.log.warn({ err }, `reaping devices failed, will be tried again: ${messageOf(err)}`)
    return false
  }
}

function endOf(lease: Lease, now: number): readonly LedgerChange[] {
  const cooling = addressesOf(lease).map((ip): LedgerChange => ({ put: 'cooling', cooling: { ip, since: now } }))
  return [{ drop: 'lease', containerId: lease.containerId }, ...cooling]
}
