// SPDX-License-Identifier: Apache-2.0
import type { Context } from '#daemon/context.ts'
import type { Lease } from '#ipam/ledger.ts'
import { formatOp, type KernelOp } from '#kernel/op.ts'
import { isAppError } from '#lib/errors.ts'

/**
 * Keeps the kernel as the held leases say: after every notification that something of ours may have changed, and from time
 * to time. Only what differs is touched. Leases of another plugin (`grpc`) are not ours to repair.
 */
export class Repair {
  readonly #ctx: Context
  #running = false
  #again = false
  #stopped = false
  #stopWatching: () => void = () => {}
  #cancelTimer: () => void = () => {}

  constructor(ctx: Context) {
    this.#ctx = ctx
  }

  start(): void {
    this.#stopWatching = this.#ctx.datapath.onChange(() => this.poke())
    this.#schedule()
  }

  stop(): void {
    this.#stopped = true
    this.#stopWatching()
    this.#cancelTimer()
  }

  /** One round soon; calls during a round give one more. */
  poke(): void {
    this.#again = true
    if (this.#running || this.#stopped) return
    this.#running = true
    void this.#rounds()
  }

  #schedule(): void {
    this.#cancelTimer = this.#ctx.clock.after(this.#ctx.options.repairInterval, () => {
      this.poke()
      if (!this.#stopped) this.#schedule()
    })
  }

  async #rounds(): Promise<void> {
    while (this.#again && !this.#stopped) {
      this.#again = false
      await this.round()
    }
    this.#running = false
  }

  /** Compares every held lease with the kernel and closes the differences; never throws. */
  async round(): Promise<void> {
    const { book, observer, clock, facts } = this.#ctx
    const kinds: string[] = []
    let failed = 0
    for (const { containerId, podNamespace, podName } of book.leases()) {
      try {
        const ops = await this.#ctx.perPod.run(`${podNamespace}/${podName}`, () => this.#one(containerId))
        kinds.push(...ops.map(op => op.op))
      } catch (err) {
        failed++
        this.#ctx.log.warn({ err, pod: `${podNamespace}/${podName}`, container: containerId }, 'repair failed')
      }
    }
    observer.repair(failed > 0 ? 'failed' : kinds.length > 0 ? 'repaired' : 'clean', kinds)
    facts.trace.set('repair', `${new Date(clock.wall()).toISOString()}: ${kinds.length} operations, ${failed} failures`)
  }

  async #one(containerId: string): Promise<readonly KernelOp[]> {
    const { book, datapath, host } = this.#ctx
    const lease = book.lease(containerId)
    if (lease?.state !== 'held' || lease.owner !== 'cni') return []
    // The sandbox is gone and its DEL is still to come: there is nothing to repair.
    if (host.netns(lease.attachment.netns) !== 'live') return []
    try {
      const ops = await datapath.diff(lease.attachment)
      if (ops.length === 0) return []
      await datapath.setup(lease.attachment)
      this.#tell(lease, ops)
      return ops
    } catch (e) {
      if (isAppError(e) && e.code === 'netns-gone') return []
      throw e
    }
  }

  #tell(lease: Lease, ops: readonly KernelOp[]): void {
    const pod = `${lease.podNamespace}/${lease.podName}`
    const lines = ops.map(formatOp)
    this.#ctx.log.warn({ pod, container: lease.containerId, ops: lines }, 'the kernel differed from the lease and was repaired')
    this.#ctx.kube.event({
      about: { apiVersion: 'v1', kind: 'Pod', name: lease.podName, namespace: lease.podNamespace, uid: lease.podUid },
      type: 'Warning',
      reason: 'ConfigCheck',
      message: `the pod's network had been changed and was repaired: ${lines.slice(0, 3).join('; ')}${lines.length > 3 ? '; …' : ''}`,
      action: 'Repair',
    })
  }
}
