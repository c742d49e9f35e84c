// SPDX-License-Identifier: Apache-2.0
import type { EniView, FabricView } from '../model/view.ts'
import { asCidr, gatewayOf, lengthOf } from './address.ts'
import { balancersOf } from './balancer.ts'
import { type Firewall, firewallOf } from './firewall.ts'

/** Where a machine is: the network namespace (by name) that plays the instance. */
export interface Place {
  readonly netns: string
  /** Configure eth0 as cloud-init and DHCP would: up, address, default route. */
  readonly configurePrimary: boolean
}
export type Placed = ReadonlyMap<string, Place>

/** One attached ENI: a veth pair, or an 802.1Q device on its trunk's fabric end. */
export interface Link {
  readonly eniId: string
  /** Fabric end, `e` + MAC without colons: unique in a VPC and within 15 characters. */
  readonly dev: string
  readonly mac: string
  readonly mtu: number
  readonly end: VethEnd | VlanEnd
  /** Addresses of the fabric end. */
  readonly gateways: readonly string[]
  /** What is routed to the ENI: host routes and delegated prefixes. */
  readonly routes: readonly string[]
}
export interface VethEnd {
  readonly kind: 'veth'
  readonly netns: string
  /** N of `eth<N>`. */
  readonly slot: number
  readonly primary?: PrimaryConfig
}
export interface VlanEnd {
  readonly kind: 'vlan'
  readonly trunkDev: string
  readonly id: number
}
/** What DHCP answers for eth0: addresses with prefix length, and gateways. */
export interface PrimaryConfig {
  readonly addresses: readonly string[]
  readonly gateways: readonly string[]
}

export interface FabricState {
  readonly links: ReadonlyMap<string, Link>
  /** CIDRs of the VPC: an address that nobody holds is dropped, never sent to the internet. */
  readonly blackholes: readonly string[]
  /** Addresses of balancers, which the fabric itself answers for. */
  readonly balancers: readonly string[]
  readonly firewall: Firewall
}

export const nothing: FabricState = { links: new Map(), blackholes: [], balancers: [], firewall: { sets: new Map(), chains: new Map() } }

/**
 * The fabric that `view` asks for, on the machines of `placed`. `before` only decides which `eth<N>` an ENI already
 * has; a new one takes the lowest free number, the primary ENI of an instance first.
 */
export function desiredState(view: FabricView, placed: Placed, before: FabricState): FabricState {
  const subnets = new Map(view.vSwitches.map(v => [v.id, [v.cidr4, ...(v.cidr6 === undefined ? [] : [v.cidr6])]]))
  const attached = view.enis.filter(e => e.instanceId !== undefined && placed.has(e.instanceId))
  const links = new Map<string, Link>()
  const slots = assignSlots(attached, placed, before)
  for (const eni of attached) {
    const cidrs = subnets.get(eni.vSwitchId) ?? []
    const place = placed.get(eni.instanceId ?? '')
    const end = place === undefined ? undefined : endOf(eni, place, cidrs, attached, slots)
    if (end === undefined) continue
    links.set(eni.id, {
      eniId: eni.id,
      dev: deviceOf(eni.mac),
      mac: eni.mac,
      mtu: eni.mtu,
      end,
      gateways: cidrs.map(gatewayOf),
      routes: [...eni.ipv4, ...eni.ipv6, ...eni.prefixes].map(asCidr),
    })
  }
  const present = view.enis.filter(e => links.has(e.id))
  const [groups, balancing] = [firewallOf(present, view, deviceOf), balancersOf(view.balancers)]
  return {
    links,
    blackholes: [...subnets.values()].flat(),
    balancers: view.balancers.flatMap(b => b.addresses),
    firewall: { sets: new Map([...groups.sets, ...balancing.sets]), chains: new Map([...groups.chains, ...balancing.chains]) },
  }
}

/** Name of the fabric end of an ENI. */
export function deviceOf(mac: string): string {
  return `e${mac.replaceAll(':', '').toLowerCase()}`
}

/**
 * What the fabric end of a device says of the other one: where it was put, and as which `eth<N>`. The machine may have moved it into the namespace of a
 * pod and given it another name since, and the fabric cannot look there; when that end is deleted, this one is gone too.
 */
export function aliasOf({ netns, slot }: Pick<VethEnd, 'netns' | 'slot'>): string {
  return `fabric:${netns}:eth${slot}`
}

/** The slot that an alias names, when it is one of that machine. */
export function slotIn(netns: string, alias: string | undefined): number | undefined {
  const [, machine, slot] = /^fabric:(.*):eth(\d+)$/.exec(alias ?? '') ?? []
  return machine === netns ? Number(slot) : undefined
}

function endOf(eni: EniView, place: Place, cidrs: readonly string[], attached: readonly EniView[], slots: ReadonlyMap<string, number>) {
  if (eni.type === 'Member') {
    const trunk = attached.find(e => e.id === eni.trunkEniId)
    if (trunk === undefined || eni.vlan === undefined) return undefined
    return { kind: 'vlan', trunkDev: deviceOf(trunk.mac), id: eni.vlan } satisfies VlanEnd
  }
  const end = { kind: 'veth', netns: place.netns, slot: slots.get(eni.id) ?? 0 } satisfies VethEnd
  return eni.type === 'Primary' && place.configurePrimary ? { ...end, primary: primaryOf(eni, cidrs) } : end
}

/** IPv4 carries the subnet's length as on ECS; IPv6 is a /128 behind the gateway, because DHCPv6 hands out single addresses. */
function primaryOf(eni: EniView, cidrs: readonly string[]): PrimaryConfig {
  const subnet4 = cidrs.find(c => !c.includes(':'))
  const length = subnet4 === undefined ? 32 : lengthOf(subnet4)
  const addresses = [...eni.ipv4.slice(0, 1).map(ip => `${ip}/${length}`), ...eni.ipv6.slice(0, 1).map(asCidr)]
  const gateways = cidrs.filter(c => !c.includes(':') || eni.ipv6.length > 0).map(gatewayOf)
  return { addresses, gateways }
}

function assignSlots(attached: readonly EniView[], placed: Placed, before: FabricState): ReadonlyMap<string, number> {
  const slots = new Map<string, number>()
  const taken = new Map<string, Set<number>>()
  const netnsOf = (eni: EniView) => placed.get(eni.instanceId ?? '')?.netns ?? ''
  const take = (eni: EniView, slot: number) => {
    slots.set(eni.id, slot)
    taken.set(netnsOf(eni), (taken.get(netnsOf(eni)) ?? new Set()).add(slot))
  }
  const own = attached.filter(e => e.type !== 'Member')
  for (const eni of own) {
    const end = before.links.get(eni.id)?.end
    if (end?.kind === 'veth' && end.netns === netnsOf(eni)) take(eni, end.slot)
  }
  const fresh = own.filter(e => !slots.has(e.id))
  for (const eni of [...fresh.filter(e => e.type === 'Primary'), ...fresh.filter(e => e.type !== 'Primary')]) {
    const used = taken.get(netnsOf(eni)) ?? new Set()
    let slot = eni.type === 'Primary' ? 0 : 1
    while (used.has(slot)) slot++
    take(eni, slot)
  }
  return slots
}
