// SPDX-License-Identifier: Apache-2.0
import type { Context } from '#daemon/context.ts'
import { del } from '#daemon/del.ts'
import { podIdOf } from '#ipam/book.ts'
import type { Lease } from '#ipam/ledger.ts'

/** Time between two looks, ms. */
const interval = 10_000

/**
 * Ends leases whose DEL never came: the pod has been missing in the API server for a while, the API server confirms it when
 * asked directly, and the sandbox's namespace is gone. A glitch of the API server alone frees nothing.
 */
export class PodGc {
  readonly #ctx: Context
  #cancel: () => void = () => {}
  #stopped = false

  constructor(ctx: Context) {
    this.#ctx = ctx
  }

  start(): void {
    if (this.#stopped) return
    this.#cancel = this.#ctx.clock.after(interval, () => void this.round().finally(() => this.start()))
  }

  stop(): void {
    this.#stopped = true
    this.#cancel()
  }

  /** One look at every lease; never throws. */
  async round(): Promise<void> {
    for (const lease of this.#ctx.book.leases()) {
      try {
        if (await this.#isOver(lease)) await del(this.#ctx, lease.attachment, 'the pod and its sandbox are gone, DEL never came')
      } catch (err) {
        this.#ctx.log.warn({ err, container: lease.containerId }, 'whether a lease is over cannot be told now')
      }
    }
  }

  async #isOver(lease: Lease): Promise<boolean> {
    const { pods, host, options } = this.#ctx
    if (lease.state === 'dying') return false
    if (pods.goneFor(podIdOf(lease), lease.podUid) < options.podGoneFloor) return false
    if (host.netns(lease.attachment.netns) === 'live') return false
    return pods.confirmGone(lease.podNamespace, lease.podName, lease.podUid)
  }
}
