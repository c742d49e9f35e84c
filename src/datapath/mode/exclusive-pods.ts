// SPDX-License-Identifier: Apache-2.0
import type { Look } from '#datapath/apply.ts'
import type { Attachment, ExclusiveEniAttachment, IfName } from '#datapath/attachment.ts'
import { merge, nothing } from '#datapath/desired.ts'
import { diff } from '#datapath/diff.ts'
import { absentEni, findUplink } from '#datapath/eni.ts'
import { eniAmong, formerName, homeName } from '#datapath/eni-home.ts'
import { type Place, peerIps, peerName, plan, sysctlsOf } from '#datapath/mode/exclusive-eni.ts'
import { type Found, gone, type PodMode, type PodPrograms, unknown, type Verdict, verdictOf } from '#datapath/mode/pod-mode.ts'
import { addressesOf } from '#datapath/mode/veth-route.ts'
import { default4, default6 } from '#datapath/ours.ts'
import type { DatapathCode } from '#datapath/port.ts'
import {
  namespaceSweep,
  namespacesWithEni,
  planServed,
  servedEntries,
  servedHostQuery,
  servedPodQuery,
  servedRemoval,
} from '#datapath/v2/served-pod.ts'
import { newMacs, recognisePair, withMtuOf } from '#datapath/veth.ts'
import { exclusiveWithdrawal, exclusiveWithdrawalQuery } from '#datapath/withdraw.ts'
import { requireHost } from '#kernel/host.ts'
import { type KernelOp, mainTable } from '#kernel/op.ts'
import { type Kernel, KernelError } from '#kernel/port.ts'
import type { LinkState, NsQuery, NsState, Observed } from '#kernel/state.ts'
import { AppError } from '#lib/errors.ts'
import { hostCidr } from '#net/cidr.ts'
import type { Mac } from '#net/mac.ts'

/** Pods that have an ENI for themselves. Nodes with such pods have few devices: all are looked at, and nothing is remembered but the uplink. */
export class ExclusivePods implements PodMode<ExclusiveEniAttachment> {
  readonly #kernel: Kernel
  readonly #programs: () => PodPrograms | undefined
  readonly #live: () => readonly Attachment[]
  /** The node's own device when it was seen last: its settings are told when they are asked for. */
  #uplink: IfName | undefined

  /** `live`: the pods that are there. */
  constructor(kernel: Kernel, programs: () => PodPrograms | undefined, live: () => readonly Attachment[]) {
    this.#kernel = kernel
    this.#programs = programs
    this.#live = live
  }

  async look(a: ExclusiveEniAttachment): Promise<Look<Found>> {
    const [host, pod] = await this.#observe([a])
    if (pod === undefined) throw new KernelError('netns-gone', `network namespace ${a.netns}`)
    if (this.#learn(host)) return this.look(a)
    const device = placeOf(a, host, pod) ?? (await this.#astray(a))
    if (device === undefined) throw absentEni(a.eni)
    return judge(a, device, { host, pod }, this.#enisOfOthers(a), this.#generation)
  }

  async compare(some: readonly ExclusiveEniAttachment[]): Promise<readonly Verdict[]> {
    const [host, ...pods] = await this.#observe(some)
    if (this.#learn(host)) return this.compare(some)
    return some.map((a, i) => {
      const pod = pods[i]
      if (pod === undefined) return gone(a)
      const device = placeOf(a, host, pod)
      return device === undefined
        ? unknown(a)
        : verdictOf(a, () => judge(a, device, { host, pod }, this.#enisOfOthers(a), this.#generation))
    })
  }

  async withdrawal(a: ExclusiveEniAttachment): Promise<readonly KernelOp[]> {
    const [host, pod] = await this.#kernel.observe(exclusiveWithdrawalQuery(a))
    const seen = requireHost(host)
    const served = servedRemoval(a, seen, pod)
    // Whose namespace it was cannot be told any more, but whose there are.
    if (pod === undefined && this.#generation !== undefined)
      served.push(...(await namespaceSweep(this.#kernel, namespacesWithEni(this.#live()))))
    return [...served, ...exclusiveWithdrawal(a, seen, placeOf(a, seen, pod) ?? (await this.#astray(a)))]
  }

  /** Of the programs, where they translate Services. */
  get #generation(): string | undefined {
    const programs = this.#programs()
    return programs?.services === true ? programs.generation : undefined
  }

  async #observe(some: readonly ExclusiveEniAttachment[]): Promise<readonly [NsState, ...Observed[]]> {
    const [host, ...pods] = await this.#kernel.observe([hostQuery(some, this.#uplink), ...some.map(podQuery)])
    return [requireHost(host), ...pods]
  }

  /** Whether the uplink is another than was assumed, so that the settings of another device were looked at. */
  #learn(host: NsState): boolean {
    const uplink = findUplink(host)?.name
    const isOther = uplink !== undefined && uplink !== this.#uplink
    this.#uplink = uplink
    return isOther
  }

  /** An ENI that somebody took into the namespace of another pod, or that was on its way home from there: what it comes to is looked at last. */
  async #astray(a: ExclusiveEniAttachment): Promise<Place | undefined> {
    const others = this.#live().filter(o => o.kind === 'exclusive-eni' && o.netns !== a.netns && o.eni.mac !== a.eni.mac)
    const namespaces = [...others.map(o => o.netns), 'host' as const, a.netns]
    const states = await this.#kernel.observe(namespaces.map(ns => ({ ns, links: 'all', families: [] })))
    const found = states.flatMap(state => {
      const link = state && eniAmong(state.links, a.eni.mac, state.ns === a.netns ? a.ifName : undefined)
      return state === undefined || link === undefined ? [] : [{ ns: state.ns, link }]
    })
    return found.at(-1)
  }

  #enisOfOthers(a: ExclusiveEniAttachment): ReadonlySet<Mac> {
    const others = this.#live().filter(o => o.kind === 'exclusive-eni' && o.eni.mac !== a.eni.mac)
    return new Set(others.map(o => o.eni.mac))
  }
}

function hostQuery(some: readonly ExclusiveEniAttachment[], uplink: IfName | undefined): NsQuery {
  return {
    ns: 'host',
    links: 'all',
    addrs: true,
    routes: { tables: [mainTable], dst: [default4, default6, ...some.flatMap(addressesOf).map(hostCidr)] },
    sysctls: [...new Set(some.flatMap(a => keysOf(a, uplink, true)))],
    families: [4, 6],
    nsids: some.map(a => a.netns),
    ...servedHostQuery,
    entries: some.flatMap(servedEntries),
  }
}

function podQuery(a: ExclusiveEniAttachment): NsQuery {
  return {
    ns: a.netns,
    links: 'all',
    addrs: true,
    neighs: peerIps(a),
    tbfs: true,
    routes: { tables: [mainTable] },
    sysctls: keysOf(a, undefined, false),
    families: [4, 6],
    ...servedPodQuery,
  }
}

function keysOf(a: ExclusiveEniAttachment, uplink: IfName | undefined, ofHost: boolean): string[] {
  return sysctlsOf(a, uplink)
    .filter(s => (s.ns === 'host') === ofHost)
    .map(s => s.key)
}

function placeOf({ netns, ifName, eni }: ExclusiveEniAttachment, host: NsState, pod: NsState | undefined): Place | undefined {
  const inside = pod && eniAmong(pod.links, eni.mac, ifName)
  if (inside !== undefined) return { ns: netns, link: inside }
  const outside = eniAmong(host.links, eni.mac)
  return outside && { ns: 'host', link: outside }
}

/** `generation`: of programs that translate Services. */
function judge(
  a: ExclusiveEniAttachment,
  device: Place,
  seen: { readonly host: NsState; readonly pod: NsState },
  others: ReadonlySet<Mac>,
  generation: string | undefined,
): Look<Found> {
  const { host, pod } = seen
  const isInside = device.ns === a.netns
  const strangers = pod.links.flatMap(link =>
    link.mac !== undefined && others.has(link.mac) ? [{ link, home: homeName(link, link.mac, host.links) }] : [],
  )
  requireFree(a, pod, [device.link, ...strangers.map(s => s.link)])
  const ends = { ...a, ifName: peerName }
  const pair = a.hostPeer ? recognisePair(ends, host, pod) : undefined
  const { hostMac, podMac: peerMac } = pair ?? newMacs(ends)
  const uplink = findUplink(host)
  const facts = {
    device,
    home: homeOf(device, a.eni.mac, host),
    strangers,
    hostMac,
    peerMac,
    ...(uplink && { uplink: uplink.name }),
    nodeIps: host.addrs.filter(addr => addr.ifIndex === uplink?.index && addr.scope === 'global').map(addr => addr.address),
  }
  const network = plan(isInside ? withMtuOf(a, pod) : a, facts)
  const served = generation === undefined ? nothing : planServed(a, generation, pair?.state === 'joined', seen)
  const ops = diff(merge(network, served), seen, pair)
  return { ops, seen: { isMade: isInside && pair?.state !== 'absent', hostMac, podMac: a.eni.mac } }
}

/** One that came to the host by itself, as the kernel takes it from a namespace that ends, has lost its name and still says it. */
function homeOf({ ns, link }: Place, mac: Mac, host: NsState): IfName {
  if (ns !== 'host') return homeName(link, mac, [])
  const others = host.links.filter(l => l !== link)
  return formerName(link, others) ?? link.name
}

/** Throws `pod-interface-taken` when another device than these has the name of the pod's interface. */
function requireFree({ netns, ifName, eni }: ExclusiveEniAttachment, pod: NsState, except: readonly LinkState[]): void {
  if (!pod.links.some(l => l.name === ifName && !except.includes(l))) return
  throw new AppError<DatapathCode>(
    'pod-interface-taken',
    `${netns} already has an interface ${ifName} that is not ENI ${eni.eniId}: another plugin made it; remove it from the CNI configuration`,
  )
}
