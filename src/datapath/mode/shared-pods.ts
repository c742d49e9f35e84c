// SPDX-License-Identifier: Apache-2.0
import type { Look } from '#datapath/apply.ts'
import type { EniDevice, IfName, SharedEniAttachment } from '#datapath/attachment.ts'
import { type Desired, merge, nothing } from '#datapath/desired.ts'
import { diff } from '#datapath/diff.ts'
import { absentEni, type EniFacts, eniQuery, findEni } from '#datapath/eni.ts'
import { endpointFacts, planEndpoint } from '#datapath/mode/ebpf.ts'
import { type Found, gone, type PodMode, type PodPrograms, unknown, type Verdict, verdictOf } from '#datapath/mode/pod-mode.ts'
import { plan } from '#datapath/mode/veth-route.ts'
import { queriesFor, queryForWithdrawal, type Target } from '#datapath/observe.ts'
import { newMacs, type Pair, recognisePair, withMtuOf } from '#datapath/veth.ts'
import { withdrawal } from '#datapath/withdraw.ts'
import { observeHost } from '#kernel/host.ts'
import type { KernelOp } from '#kernel/op.ts'
import { type Kernel, KernelError } from '#kernel/port.ts'
import type { NsState } from '#kernel/state.ts'
import type { Mac } from '#net/mac.ts'

/** Pods that share their ENIs: plan and look are those of `veth-route` and `ebpf`. Remembers where ENIs and host ends were, and looks again where they are not. */
export class SharedPods implements PodMode<SharedEniAttachment> {
  readonly #kernel: Kernel
  readonly #programs: () => PodPrograms | undefined
  /** Where each ENI was found. Checked at each use, found again when the device changed. */
  readonly #enis = new Map<Mac, Promise<EniFacts>>()
  readonly #eniIndexes = new Map<number, Mac>()
  /** By host end: its number when it was seen last, on a node with programs. */
  readonly #hostIndexes = new Map<IfName, number>()

  constructor(kernel: Kernel, programs: () => PodPrograms | undefined) {
    this.#kernel = kernel
    this.#programs = programs
  }

  /** ENIs by number of their devices. */
  get enis(): ReadonlyMap<number, Mac> {
    return this.#eniIndexes
  }

  async look(a: SharedEniAttachment): Promise<Look<Found>> {
    const target = await this.#target(a)
    const [host, pod] = await this.#kernel.observe(queriesFor([target]))
    if (pod === undefined) throw new KernelError('netns-gone', `network namespace ${a.netns}`)
    if (host === undefined || !isStill(target.eni, host)) {
      this.#enis.delete(a.eni.mac)
      return this.look(a)
    }
    return this.#learn([target], host) ? this.look(a) : judge(target, host, pod)
  }

  async compare(some: readonly SharedEniAttachment[]): Promise<readonly Verdict[]> {
    const targets = await Promise.all(some.map(a => this.#target(a).catch(() => undefined)))
    const known = targets.filter(t => t !== undefined)
    const [host, ...pods] = await this.#kernel.observe(queriesFor(known))
    if (host !== undefined && this.#learn(known, host)) return this.compare(some)
    const verdicts = known.map((target, i) => {
      const pod = pods[i]
      if (pod === undefined) return gone(target.a)
      return host === undefined || !isStill(target.eni, host) ? unknown(target.a) : verdictOf(target.a, () => judge(target, host, pod))
    })
    return some.map(a => verdicts.find(v => v.a === a) ?? unknown(a))
  }

  async withdrawal(a: SharedEniAttachment): Promise<readonly KernelOp[]> {
    this.#hostIndexes.delete(a.hostIfName)
    return withdrawal(a, await observeHost(this.#kernel, queryForWithdrawal(a)), this.#programs() !== undefined)
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

  /** Where to look does not depend on the MACs of the two ends; the plan for an existing pair does. */
  async #target(a: SharedEniAttachment): Promise<Target> {
    const eni = await this.#eni(a.eni)
    const { generation, services } = this.#programs() ?? {}
    const programs =
      generation === undefined ? undefined : { generation, services: services === true, hostIndex: this.#hostIndexes.get(a.hostIfName) }
    return { a, eni, desired: plan(a, { eni, ...newMacs(a) }), ...(programs && { programs }) }
  }

  #eni(eni: EniDevice): Promise<EniFacts> {
    const known = this.#enis.get(eni.mac)
    if (known !== undefined) return known
    const found = observeHost(this.#kernel, eniQuery).then(host => {
      const facts = findEni(eni.mac, host)
      if (facts === undefined) throw absentEni(eni)
      this.#eniIndexes.set(facts.index, eni.mac)
      return facts
    })
    this.#enis.set(eni.mac, found)
    found.catch(() => {
      if (this.#enis.get(eni.mac) === found) this.#enis.delete(eni.mac)
    })
    return found
  }
}

function judge(target: Target, host: NsState, pod: NsState): Look<Found> {
  const { eni, desired } = target
  const pair = recognisePair(target.a, host, pod)
  const isMade = pair.state === 'joined'
  const a = isMade ? withMtuOf(target.a, pod) : target.a
  // The draft is the plan of a pair that is still to be made.
  const network = isMade ? plan(a, { eni, hostMac: pair.hostMac, podMac: pair.podMac }) : desired
  const { hostMac, podMac } = pair
  return {
    ops: diff(merge(network, endpointOf({ ...target, a }, { ...pair, isMade }, host)), { host, pod }, pair),
    seen: { isMade, hostMac, podMac },
  }
}

/** Nothing on a node without programs. */
function endpointOf({ a, eni, programs }: Target, pair: Pair & { readonly isMade: boolean }, host: NsState): Desired {
  return programs === undefined ? nothing : planEndpoint(a, endpointFacts(a, eni, pair, programs, host))
}

function isStill(eni: EniFacts, host: NsState): boolean {
  return host.links.some(l => l.name === eni.dev && l.index === eni.index && l.mac === eni.mac)
}
