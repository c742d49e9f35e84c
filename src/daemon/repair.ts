// SPDX-License-Identifier: Apache-2.0
import type { Context } from '#daemon/context.ts'
import { crashPoint } from '#daemon/crash-point.ts'
import { podIdOf } from '#ipam/book.ts'
import type { Lease } from '#ipam/ledger.ts'
import { formatOp, type KernelOp } from '#kernel/op.ts'
import { isAppError, messageOf } from '#lib/errors.ts'

/** How soon a pod is looked at again that differed while a verb was at work on it, ms. */
const busyPause = 1_000

/**
 * Keeps the kernel as the held leases say: after every notification that something of ours may have changed on the node, and
 * every few seconds, since nobody tells of changes inside pods. Only what differs is touched. Leases of another plugin
 * (`grpc`) are not ours to repair.
 */
export class Repair {
  readonly #ctx: Context
  #running = false
  #again = false
  #stopped = false
  #stopWatching: () => void = () => {}
  #cancelTimer: () => void = () => {}
  #cancelSoon: () => void = () => {}
  /** By container: the failure that was logged last, so that one that stays is not logged with every round. */
  #failures = new Map<string, string>()

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
    this.#cancelSoon()
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
    const { observer, clock, facts } = this.#ctx
    const kinds: string[] = []
    const failures = new Map<string, string>()
    for (const lease of await this.#differing()) {
      try {
        kinds.push(...(await this.#turn(lease)).map(op => op.op))
      } catch (err) {
        failures.set(lease.containerId, messageOf(err))
        if (this.#failures.get(lease.containerId) === messageOf(err)) continue
        this.#ctx.log.warn({ err, pod: podIdOf(lease), container: lease.containerId }, 'repair failed')
      }
    }
    this.#failures = failures
    observer.repair(failures.size > 0 ? 'failed' : kinds.length > 0 ? 'repaired' : 'clean', kinds)
    facts.trace.set('repair', `${new Date(clock.wall()).toISOString()}: ${kinds.length} operations, ${failures.size} failures`)
  }

  /** The held leases that the kernel seems to differ from; all of them when that cannot be told. */
  async #differing(): Promise<readonly Lease[]> {
    const { book, datapath, log } = this.#ctx
    const held = book.leases().filter(isOurs)
    try {
      const differing = new Set(await datapath.differing(held.map(l => l.attachment)))
      return held.filter(l => differing.has(l.attachment))
    } catch (err) {
      log.warn({ err }, 'pods cannot be compared together, each is looked at alone')
      return held
    }
  }

  /** A verb that is at work on the sandbox, perhaps waiting, keeps its turn; the other pods do not wait for it. */
  async #turn(lease: Lease): Promise<readonly KernelOp[]> {
    const { perSandbox, clock } = this.#ctx
    const { containerId } = lease
    if (!perSandbox.busy(containerId)) return perSandbox.run(containerId, () => this.#one(containerId))
    this.#cancelSoon()
    this.#cancelSoon = clock.after(busyPause, () => this.poke())
    return []
  }

  async #one(containerId: string): Promise<readonly KernelOp[]> {
    const { book, datapath, host } = this.#ctx
    const lease = book.lease(containerId)
    if (lease === undefined || !isOurs(lease)) return []
    // The sandbox is gone and its DEL is still to come: there is nothing to repair.
    if (host.netns(lease.attachment.netns) !== 'live') return []
    try {
      const { ops } = await datapath.setup(lease.attachment)
      crashPoint('repaired')
      if (ops.length > 0) this.#tell(lease, ops)
      return ops
    } catch (e) {
      if (isAppError(e) && e.code === 'netns-gone') return []
      throw e
    }
  }

  #tell(lease: Lease, ops: readonly KernelOp[]): void {
    const pod = podIdOf(lease)
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

function isOurs(lease: Lease): boolean {
  return lease.state === 'held' && lease.owner === 'cni'
}
