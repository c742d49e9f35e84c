// SPDX-License-Identifier: Apache-2.0
import type { Context } from '#daemon/context.ts'
import { crashPoint } from '#daemon/crash-point.ts'
import { podIdOf } from '#ipam/book.ts'
import type { Lease } from '#ipam/ledger.ts'
import type { IfName } from '#kernel/names.ts'
import { formatOp, type KernelOp } from '#kernel/op.ts'
import { isAppError, messageOf } from '#lib/errors.ts'

/** How soon a pod is looked at again that differed while a verb was at work on it, ms. */
const busyPause = 1_000
/** So many pods that notifications name are looked at before all are compared: each costs a look of its own. */
const namedAtOnce = 16

/**
 * Keeps the kernel as the held leases say: after every notification that something of ours may have changed on the node, and
 * every few seconds, since nobody tells of changes inside pods. Only what differs is touched. Leases of another plugin
 * (`grpc`) are not ours to repair.
 */
export class Repair {
  readonly #ctx: Context
  #running = false
  #again = false
  /** Host ends of pods that notifications name, to be looked at first. */
  #named = new Set<IfName>()
  /** Changes under way that make pods differ without anybody's fault. */
  #expected = 0
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
    this.#stopWatching = this.#ctx.datapath.onChange(named => this.poke(named))
    this.#schedule()
  }

  stop(): void {
    this.#stopped = true
    this.#stopWatching()
    this.#cancelTimer()
    this.#cancelSoon()
  }

  /** One round soon, which begins with the pods of these host ends; calls during a round give one more. */
  poke(named: readonly IfName[] = []): void {
    for (const name of named) this.#named.add(name)
    this.#again = true
    if (this.#running || this.#stopped) return
    this.#running = true
    void this.#rounds()
  }

  /** Makes a change that pods follow by a round of repair; what that puts right is not told as somebody's damage. */
  async quietly(change: () => Promise<void>): Promise<void> {
    this.#expected++
    try {
      await change()
      await this.round()
    } finally {
      this.#expected--
    }
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

  /** Compares every held lease with the kernel and closes the differences, those that are named first; never throws. */
  async round(): Promise<void> {
    const { observer, clock, facts } = this.#ctx
    const failures = new Map<string, string>()
    const kinds = await this.#repair(this.#takeNamed(), failures)
    kinds.push(...(await this.#repair(await this.#differing(), failures)))
    this.#failures = failures
    observer.repair(failures.size > 0 ? 'failed' : kinds.length > 0 ? 'repaired' : 'clean', kinds)
    facts.trace.set('repair', `${new Date(clock.wall()).toISOString()}: ${kinds.length} operations, ${failures.size} failures`)
  }

  async #repair(leases: readonly Lease[], failures: Map<string, string>): Promise<string[]> {
    const kinds: string[] = []
    for (const lease of leases) {
      try {
        kinds.push(...(await this.#turn(lease)).map(op => op.op))
      } catch (err) {
        const told = failures.get(lease.containerId) ?? this.#failures.get(lease.containerId)
        failures.set(lease.containerId, messageOf(err))
        if (told === messageOf(err)) continue
        this.#ctx.log.warn({ err, pod: podIdOf(lease), container: lease.containerId }, 'repair failed')
      }
    }
    return kinds
  }

  #takeNamed(): readonly Lease[] {
    const named = this.#named
    this.#named = new Set()
    if (named.size === 0 || named.size > namedAtOnce) return []
    return this.#ctx.book.leases().filter(l => isHeldHere(l) && named.has(l.attachment.hostIfName))
  }

  /** The held leases that the kernel seems to differ from; all of them when that cannot be told. */
  async #differing(): Promise<readonly Lease[]> {
    const { book, datapath, log } = this.#ctx
    const held = book.leases().filter(isHeldHere)
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
    if (lease === undefined || !isHeldHere(lease)) return []
    // The sandbox is gone and its DEL is still to come: there is nothing to repair.
    if (host.netns(lease.attachment.netns) !== 'live') return []
    try {
      const { ops } = await datapath.setup(lease.attachment)
      crashPoint('repaired')
      if (ops.length > 0 && this.#expected === 0) this.#tell(lease, ops)
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

/** A lease of a sandbox whose network is ours to keep. */
export function isHeldHere(lease: Lease): boolean {
  return lease.state === 'held' && lease.owner === 'cni'
}
