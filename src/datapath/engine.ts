// SPDX-License-Identifier: Apache-2.0
import { converge } from '#datapath/apply.ts'
import type { Attachment, IfName, NetnsPath } from '#datapath/attachment.ts'
import { concernsUs, type Known, namedBy } from '#datapath/change.ts'
import { Gather } from '#datapath/gather.ts'
import { inventoryQueries, leftovers, removalOf, stillThere, takeInventory } from '#datapath/inventory.ts'
import { Locks } from '#datapath/locks.ts'
import { Pods } from '#datapath/mode/pods.ts'
import type { Datapath, Inventory, NodeDatapath, SetupResult } from '#datapath/port.ts'
import { endPrograms, ProgrammedNode } from '#datapath/v2/node.ts'
import { requireHost } from '#kernel/host.ts'
import { formatOp, type KernelOp } from '#kernel/op.ts'
import type { Doomed, Kernel } from '#kernel/port.ts'
import type { Clock } from '#lib/clock.ts'
import { isAppError } from '#lib/errors.ts'
import type { Logger } from '#lib/log.ts'

export interface DatapathDeps {
  readonly clock: Clock
  readonly log: Logger
}

/** Pods looked at together: it bounds how long an ADD waits behind such a look, some milliseconds. */
const lookTogether = 16
/** Between two times that changes are told. Milliseconds. */
const tellInterval = 100

export function makeDatapath(kernel: Kernel, deps: DatapathDeps): Datapath {
  return new Engine(kernel, deps)
}

class Engine implements Datapath {
  readonly #kernel: Kernel
  readonly #deps: DatapathDeps
  /** By host end: everything that concerns one pod's devices is done in turn. */
  readonly #locks = new Locks()
  /** By host end: the pod that this process set up there and did not withdraw since. */
  readonly #live = new Map<IfName, Attachment>()
  /** By host end: the containers that were withdrawn and not reaped yet. */
  readonly #dying = new Map<IfName, Set<string>>()
  readonly #pods: Pods
  #programs: ProgrammedNode | undefined
  #unsubscribers: (() => void)[] = []

  constructor(kernel: Kernel, deps: DatapathDeps) {
    this.#kernel = kernel
    this.#deps = deps
    this.#pods = new Pods(
      kernel,
      () => this.#programs,
      () => [...this.#live.values()],
    )
  }

  setNode(node: NodeDatapath, held: readonly Attachment[]): Promise<void> {
    return this.#locks.holdAll(async () => {
      const before = this.#programs
      if (node.kind === 'veth') {
        const ops = await endPrograms(this.#kernel)
        this.#programs = undefined
        this.#logOps('the node forwards by its host stack', {}, ops)
      } else {
        const programs = await ProgrammedNode.load({ kernel: this.#kernel, live: () => [...this.#live.values()], ...this.#deps }, node)
        this.#programs = programs
        try {
          await this.#makeReady(held)
          await programs.start(held)
        } catch (e) {
          this.#programs = before
          throw e
        }
      }
      before?.stop()
    })
  }

  setup(a: Attachment): Promise<SetupResult> {
    return this.#locks.hold([a.hostIfName], () => this.#setup(a))
  }

  diff(a: Attachment): Promise<readonly KernelOp[]> {
    return this.#locks.hold([a.hostIfName], async () => (await this.#pods.look(a)).ops)
  }

  async differing(all: readonly Attachment[]): Promise<readonly Attachment[]> {
    await this.#programs?.repair()
    const found: Attachment[] = []
    for (let i = 0; i < all.length; i += lookTogether) {
      const some = all.slice(i, i + lookTogether)
      const names = [...new Set(some.map(a => a.hostIfName))]
      found.push(...(await this.#locks.hold(names, () => this.#compare(some))))
    }
    return found
  }

  withdraw(a: Attachment): Promise<void> {
    return this.#locks.hold([a.hostIfName], async () => {
      if (this.#live.get(a.hostIfName)?.containerId === a.containerId) this.#live.delete(a.hostIfName)
      this.#dying.set(a.hostIfName, new Set(this.#dying.get(a.hostIfName)).add(a.containerId))
      const { ops } = await converge(this.#kernel, async () => ({ ops: await this.#pods.withdrawal(a), seen: undefined }))
      this.#logOps('pod addresses withdrawn', { container: a.containerId }, ops)
    })
  }

  reap(links: readonly IfName[]) {
    return this.#locks.hold(links, async () => {
      // A name that a newer sandbox took: the old device went when the new one was made.
      const replaced = links.filter(name => this.#live.has(name))
      const doomed = links.filter(name => !replaced.includes(name)).map(name => doom(name, this.#dying.get(name)))
      const { gone, remaining } = await this.#kernel.reapLinks(doomed)
      for (const name of [...gone, ...replaced]) this.#dying.delete(name)
      this.#deps.log.info({ gone, remaining, replaced }, 'host devices reaped')
      return { gone: [...gone, ...replaced], remaining }
    })
  }

  async inventory(among: readonly NetnsPath[] = []): Promise<Inventory> {
    const [host, ...pods] = await this.#kernel.observe(inventoryQueries(among))
    return takeInventory(requireHost(host), pods)
  }

  removeLeftovers(left: Inventory): Promise<readonly KernelOp[]> {
    return this.#locks.hold([...new Set([...left.hostLinks.map(l => l.name), ...left.routes.map(r => r.dev)])], async () => {
      const found = stillThere(leftovers(left, [...this.#live.values()]), await this.inventory(left.enis?.map(e => e.netns)))
      await this.#programs?.removeStale(found.hostLinks.map(l => l.index))
      const { done, failed } = await this.#kernel.apply(removalOf(found))
      if (failed !== undefined) throw failed
      const { gone } = await this.#kernel.reapLinks(found.hostLinks.map(l => doom(l.name, l.owner === undefined ? undefined : [l.owner])))
      const ops = [...done, ...gone.map((dev): KernelOp => ({ op: 'link-del', ns: 'host', dev }))]
      this.#logOps('leftovers removed', {}, ops)
      return ops
    })
  }

  onChange(callback: (named: readonly IfName[]) => void): () => void {
    const known = (): Known => ({ enis: this.#pods.enis, live: this.#live, hostSet: this.#programs !== undefined || this.#leadsToNode() })
    const gather = new Gather(this.#deps.clock, tellInterval, callback)
    const stop = this.#kernel.monitor(events => {
      const now = known()
      const ours = events.filter(e => concernsUs(e, now))
      if (ours.length > 0) gather.add(ours.flatMap(e => namedBy(e, now)))
    })
    const unsubscribe = () => {
      stop()
      gather.stop()
    }
    this.#unsubscribers.push(unsubscribe)
    return unsubscribe
  }

  async close(): Promise<void> {
    for (const unsubscribe of this.#unsubscribers) unsubscribe()
    this.#unsubscribers = []
    this.#programs?.stop()
    await this.#kernel.close()
  }

  async #setup(a: Attachment): Promise<SetupResult> {
    const wasLive = this.#live.get(a.hostIfName)?.containerId === a.containerId
    this.#live.set(a.hostIfName, a)
    const { ops, seen } = await converge(this.#kernel, () => this.#pods.look(a)).catch(e => {
      // What was made so far is to be withdrawn and reaped by the caller; what was there before is there still.
      if (!wasLive) this.#live.delete(a.hostIfName)
      throw e
    })
    this.#logOps('pod network brought to its wanted state', { container: a.containerId, eni: a.eni.eniId }, ops)
    return { hostMac: seen.hostMac, podMac: seen.podMac, ops }
  }

  /** Whether pods have routes to the node's own addresses. */
  #leadsToNode(): boolean {
    return [...this.#live.values()].some(a => a.kind === 'exclusive-eni' && a.hostPeer)
  }

  /** Before the programs forward. A pod that cannot be made ready goes on through the host stack. */
  async #makeReady(held: readonly Attachment[]): Promise<void> {
    for (let i = 0; i < held.length; i += lookTogether) {
      for (const a of await this.#compare(held.slice(i, i + lookTogether))) {
        try {
          await this.#setup(a)
        } catch (err) {
          if (!isAppError(err)) throw err
          this.#deps.log.warn({ err, container: a.containerId }, 'a pod is not ready for the programs')
        }
      }
    }
  }

  /** Those that differ, or of which this cannot be told: then `setup` says why. Pods that are as they should be are live, also those that a predecessor set up. */
  async #compare(some: readonly Attachment[]): Promise<readonly Attachment[]> {
    const verdicts = await this.#pods.compare(some)
    for (const { a, isMade } of verdicts) {
      // One whose end has begun meanwhile must not keep its device from the reaper.
      const isDying = this.#dying.get(a.hostIfName)?.has(a.containerId) ?? false
      if (isMade && !isDying) this.#live.set(a.hostIfName, a)
    }
    return some.filter(a => !verdicts.some(v => v.a === a && v.isRight))
  }

  /** Said afterwards: whoever called may have somebody waiting. */
  #logOps(what: string, fields: Record<string, string>, ops: readonly KernelOp[]): void {
    if (ops.length > 0) this.#deps.clock.after(0, () => this.#deps.log.info({ ...fields, ops: ops.map(formatOp) }, what))
  }
}

function doom(name: IfName, owners: Iterable<string> | undefined): Doomed {
  return owners === undefined ? { name } : { name, owners: [...owners] }
}
