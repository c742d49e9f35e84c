// SPDX-License-Identifier: Apache-2.0
import { converge, type Look } from '#datapath/apply.ts'
import type { Attachment, EniDevice, IfName, NetnsPath, SharedEniAttachment } from '#datapath/attachment.ts'
import { concernsUs, type Known, namedBy } from '#datapath/change.ts'
import { type Desired, merge, nothing } from '#datapath/desired.ts'
import { diff } from '#datapath/diff.ts'
import { type EniFacts, eniQuery, findEni } from '#datapath/eni.ts'
import { Gather } from '#datapath/gather.ts'
import { inventoryQuery, leftovers, removalOf, stillThere, takeInventory } from '#datapath/inventory.ts'
import { Locks } from '#datapath/locks.ts'
import { endpointFacts, planEndpoint } from '#datapath/mode/ebpf.ts'
import { plan } from '#datapath/mode/veth-route.ts'
import { queriesFor, queryForWithdrawal, type Target } from '#datapath/observe.ts'
import type { Datapath, Inventory, NodeDatapath, SetupResult } from '#datapath/port.ts'
import { endPrograms, ProgrammedNode } from '#datapath/v2/node.ts'
import { newMacs, type Pair, recognisePair, withMtuOf } from '#datapath/veth.ts'
import { withdrawal } from '#datapath/withdraw.ts'
import { observeHost } from '#kernel/host.ts'
import { formatOp, type KernelOp } from '#kernel/op.ts'
import { type Doomed, type Kernel, KernelError } from '#kernel/port.ts'
import type { NsState } from '#kernel/state.ts'
import type { Clock } from '#lib/clock.ts'
import { AppError, isAppError } from '#lib/errors.ts'
import type { Logger } from '#lib/log.ts'
import type { Mac } from '#net/mac.ts'

export interface DatapathDeps {
  readonly clock: Clock
  readonly log: Logger
}

/**
 * `eni-absent`: the node has no device with the ENI's MAC (yet). `pod-interface-taken`: the pod has a foreign interface of
 * the wanted name. Kernel errors pass as they are: `kernel-refused`, `netns-gone`, `kernel-worker`.
 */
export type DatapathCode = 'eni-absent' | 'pod-interface-taken'

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
  readonly #live = new Map<IfName, SharedEniAttachment>()
  /** By host end: the containers that were withdrawn and not reaped yet. */
  readonly #dying = new Map<IfName, Set<string>>()
  /** Where each ENI was found. Checked at each use, found again when the device changed. */
  readonly #enis = new Map<Mac, Promise<EniFacts>>()
  readonly #eniIndexes = new Map<number, Mac>()
  /** By host end: its number when it was seen last, on a node with programs. */
  readonly #hostIndexes = new Map<IfName, number>()
  #programs: ProgrammedNode | undefined
  #unsubscribers: (() => void)[] = []

  constructor(kernel: Kernel, deps: DatapathDeps) {
    this.#kernel = kernel
    this.#deps = deps
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
          const shared = held.map(requireShared)
          await this.#makeReady(shared)
          await programs.start(shared)
        } catch (e) {
          this.#programs = before
          throw e
        }
      }
      before?.stop()
    })
  }

  setup(a: Attachment): Promise<SetupResult> {
    return this.#locks.hold([a.hostIfName], async () => this.#setup(requireShared(a)))
  }

  diff(a: Attachment): Promise<readonly KernelOp[]> {
    return this.#locks.hold([a.hostIfName], async () => (await this.#look(requireShared(a))).ops)
  }

  async differing(all: readonly Attachment[]): Promise<readonly Attachment[]> {
    await this.#programs?.repair()
    const found: Attachment[] = []
    for (let i = 0; i < all.length; i += lookTogether) {
      const some = all.slice(i, i + lookTogether).map(requireShared)
      const names = [...new Set(some.map(a => a.hostIfName))]
      found.push(...(await this.#locks.hold(names, () => this.#compare(some))))
    }
    return found
  }

  withdraw(a: Attachment): Promise<void> {
    return this.#locks.hold([a.hostIfName], async () => {
      if (this.#live.get(a.hostIfName)?.containerId === a.containerId) this.#live.delete(a.hostIfName)
      this.#dying.set(a.hostIfName, new Set(this.#dying.get(a.hostIfName)).add(a.containerId))
      const { ops } = await converge(this.#kernel, async () => ({
        ops: withdrawal(
          requireShared(a),
          await observeHost(this.#kernel, queryForWithdrawal(requireShared(a))),
          this.#programs !== undefined,
        ),
        seen: undefined,
      }))
      this.#hostIndexes.delete(a.hostIfName)
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
    return takeInventory(await observeHost(this.#kernel, inventoryQuery(among)))
  }

  removeLeftovers(left: Inventory): Promise<readonly KernelOp[]> {
    return this.#locks.hold([...new Set([...left.hostLinks.map(l => l.name), ...left.routes.map(r => r.dev)])], async () => {
      const found = stillThere(leftovers(left, [...this.#live.values()]), await this.inventory())
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
    const known = (): Known => ({ enis: this.#eniIndexes, live: this.#live, hostSet: this.#programs !== undefined })
    const gather = new Gather(this.#deps.clock, tellInterval, callback)
    const stop = this.#kernel.monitor(events => {
      const ours = events.filter(e => concernsUs(e, known()))
      if (ours.length > 0) gather.add(ours.flatMap(e => namedBy(e, known())))
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

  async #setup(a: SharedEniAttachment): Promise<SetupResult> {
    const wasLive = this.#live.get(a.hostIfName)?.containerId === a.containerId
    this.#live.set(a.hostIfName, a)
    const { ops, seen } = await converge(this.#kernel, () => this.#look(a)).catch(e => {
      // What was made so far is to be withdrawn and reaped by the caller; what was there before is there still.
      if (!wasLive) this.#live.delete(a.hostIfName)
      throw e
    })
    this.#logOps('pod network brought to its wanted state', { container: a.containerId, eni: a.eni.eniId }, ops)
    return { hostMac: seen.hostMac, podMac: seen.podMac, ops }
  }

  /** Before the programs forward. A pod that cannot be made ready goes on through the host stack. */
  async #makeReady(held: readonly SharedEniAttachment[]): Promise<void> {
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

  /** What `setup` would do now, and the addresses of the pair's ends. Throws `netns-gone`. */
  async #look(a: SharedEniAttachment): Promise<Look<Pair>> {
    const target = await this.#target(a)
    const [host, pod] = await this.#kernel.observe(queriesFor([target]))
    if (pod === undefined) throw new KernelError('netns-gone', `network namespace ${a.netns}`)
    if (host === undefined || !isStill(target.eni, host)) {
      this.#enis.delete(a.eni.mac)
      return this.#look(a)
    }
    return this.#learn([target], host) ? this.#look(a) : judge(target, host, pod)
  }

  /** Remembers the numbers of host ends. Whether one is another than was assumed, so that entries of others were looked at. */
  #learn(targets: readonly Target[], host: NsState): boolean {
    let isOther = false
    for (const { a, programs } of targets) {
      const index = host.links.find(l => l.name === a.hostIfName)?.index
      if (programs === undefined || index === undefined || index === programs.hostIndex) continue
      this.#hostIndexes.set(a.hostIfName, index)
      isOther = true
    }
    return isOther
  }

  /** Those that differ, or of which this cannot be told: then `setup` says why. Pods that are as they should be are live, also those that a predecessor set up. */
  async #compare(some: readonly SharedEniAttachment[]): Promise<readonly SharedEniAttachment[]> {
    const targets = await Promise.all(some.map(a => this.#target(a).catch(() => undefined)))
    const known = targets.filter(t => t !== undefined)
    const [host, ...pods] = await this.#kernel.observe(queriesFor(known))
    if (host !== undefined && this.#learn(known, host)) return this.#compare(some)
    const right = known.filter((target, i) => {
      const pod = pods[i]
      return pod === undefined || (host !== undefined && this.#isRight(target, host, pod))
    })
    return some.filter(a => !right.some(t => t.a === a))
  }

  #isRight(target: Target, host: NsState, pod: NsState): boolean {
    const { a, eni } = target
    if (!isStill(eni, host)) return false
    try {
      const { ops, seen } = judge(target, host, pod)
      // One whose end has begun meanwhile must not keep its device from the reaper.
      const isDying = this.#dying.get(a.hostIfName)?.has(a.containerId) ?? false
      if (seen.state === 'joined' && !isDying) this.#live.set(a.hostIfName, a)
      return ops.length === 0
    } catch (e) {
      if (isAppError(e)) return false
      throw e
    }
  }

  /** Where to look does not depend on the MACs of the two ends; the plan for an existing pair does. */
  async #target(a: SharedEniAttachment): Promise<Target> {
    const eni = await this.#eni(a.eni)
    const { generation, services } = this.#programs ?? {}
    const programs =
      generation === undefined ? undefined : { generation, services: services === true, hostIndex: this.#hostIndexes.get(a.hostIfName) }
    return { a, eni, desired: plan(a, { eni, ...newMacs(a) }), ...(programs && { programs }) }
  }

  #eni(eni: EniDevice): Promise<EniFacts> {
    const known = this.#enis.get(eni.mac)
    if (known !== undefined) return known
    const found = observeHost(this.#kernel, eniQuery).then(host => {
      const facts = findEni(eni.mac, host)
      if (facts === undefined) throw absent(eni)
      this.#eniIndexes.set(facts.index, eni.mac)
      return facts
    })
    this.#enis.set(eni.mac, found)
    found.catch(() => {
      if (this.#enis.get(eni.mac) === found) this.#enis.delete(eni.mac)
    })
    return found
  }

  /** Said afterwards: whoever called may have somebody waiting. */
  #logOps(what: string, fields: Record<string, string>, ops: readonly KernelOp[]): void {
    if (ops.length > 0) this.#deps.clock.after(0, () => this.#deps.log.info({ ...fields, ops: ops.map(formatOp) }, what))
  }
}

function requireShared(a: Attachment): SharedEniAttachment {
  if (a.kind === 'shared-eni') return a
  throw new KernelError('kernel-refused', `an attachment of kind ${a.kind}: this datapath makes none`)
}

function judge(target: Target, host: NsState, pod: NsState): Look<Pair> {
  const { eni, desired } = target
  const pair = recognisePair(target.a, host, pod)
  const isMade = pair.state === 'joined'
  const a = isMade ? withMtuOf(target.a, pod) : target.a
  // The draft is the plan of a pair that is still to be made.
  const network = isMade ? plan(a, { eni, hostMac: pair.hostMac, podMac: pair.podMac }) : desired
  return { ops: diff(merge(network, endpointOf({ ...target, a }, { ...pair, isMade }, host)), { host, pod }, pair), seen: pair }
}

/** Nothing on a node without programs. */
function endpointOf({ a, eni, programs }: Target, pair: Pair & { readonly isMade: boolean }, host: NsState): Desired {
  return programs === undefined ? nothing : planEndpoint(a, endpointFacts(a, eni, pair, programs, host))
}

function doom(name: IfName, owners: Iterable<string> | undefined): Doomed {
  return owners === undefined ? { name } : { name, owners: [...owners] }
}

function isStill(eni: EniFacts, host: NsState): boolean {
  return host.links.some(l => l.name === eni.dev && l.index === eni.index && l.mac === eni.mac)
}

function absent(eni: EniDevice): AppError<DatapathCode> {
  return new AppError(
    'eni-absent',
    `no device of this node has the MAC ${eni.mac} of ENI ${eni.eniId}: it is not attached, or the driver has not shown it yet`,
  )
}
