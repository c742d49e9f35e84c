// SPDX-License-Identifier: Apache-2.0
import type { EniDevice, IfName } from '#datapath/attachment.ts'
import { type AddrWant, type Desired, nothing, type RouteWant, type SysctlWant } from '#datapath/desired.ts'
import { isHostIfName } from '#datapath/host-if-name.ts'
import { default4, default6, tableOf } from '#datapath/ours.ts'
import type { DatapathCode } from '#datapath/port.ts'
import { mainTable } from '#kernel/op.ts'
import type { LinkState, NsQuery, NsState, RouteState } from '#kernel/state.ts'
import { AppError } from '#lib/errors.ts'
import { hostCidr } from '#net/cidr.ts'
import { type Family, familyOf, type Ip } from '#net/ip.ts'
import type { Mac } from '#net/mac.ts'

/** What is known of an ENI's device on this node, besides what the cloud says. */
export interface EniFacts {
  readonly dev: IfName
  readonly index: number
  readonly mac: Mac
  /** The node's own addresses, which the ENI carries too, so that it has a source for its own ARP and ND. */
  readonly hostIps: readonly Ip[]
  /** The device through which the node itself talks. When it is `dev`, addresses, MTU and autoconfiguration belong to the node, not to us. */
  readonly uplink?: IfName
}

export function absentEni(eni: EniDevice): AppError<DatapathCode> {
  return new AppError(
    'eni-absent',
    `no device of this node has the MAC ${eni.mac} of ENI ${eni.eniId}: it is not attached, or the driver has not shown it yet`,
  )
}

/** Everything `findEni` needs. Costs a dump of all links and addresses: for discovery, not for each pod. */
export const eniQuery: NsQuery = {
  ns: 'host',
  links: 'all',
  addrs: true,
  routes: { tables: [mainTable], dst: [default4, default6] },
  families: [4, 6],
}

/**
 * Finds the ENI's device by its MAC, whatever its kind; pods' host ends are skipped. Devices stacked on the ENI share its
 * MAC: the lowest number is the one that was there first. Undefined when the node has no such device.
 */
export function findEni(mac: Mac, host: NsState): EniFacts | undefined {
  const [link] = host.links.filter(l => l.mac === mac && !isHostIfName(l.name)).sort((a, b) => a.index - b.index)
  if (link === undefined) return undefined
  const at = { dev: link.name, index: link.index, mac }
  const uplink = findUplink(host)
  if (uplink === undefined) return { ...at, hostIps: [] }
  return { ...at, hostIps: ([4, 6] as const).flatMap(family => hostIp(family, uplink, host) ?? []), uplink: uplink.name }
}

/**
 * The device of the node's IPv4 default route. Only a node without one is judged by IPv6, whose default route may be on any
 * device that once saw a router advertisement, on an ENI too.
 */
export function findUplink(host: NsState): LinkState | undefined {
  const [route] = [...defaultRoutes(4, host), ...defaultRoutes(6, host)]
  return host.links.find(l => l.index === route?.ifIndex)
}

/** The address the node speaks from. */
export function hostIp(family: Family, uplink: LinkState, host: NsState): Ip | undefined {
  const route = defaultRoutes(family, host).find(r => r.ifIndex === uplink.index)
  const own = host.addrs.find(a => a.ifIndex === uplink.index && familyOf(a.address) === family && a.scope === 'global' && !a.secondary)
  return route?.prefSrc ?? own?.address
}

/** The best first. */
function defaultRoutes(family: Family, host: NsState): RouteState[] {
  return host.routes.filter(r => r.dst === (family === 4 ? default4 : default6)).sort((a, b) => a.priority - b.priority)
}

/**
 * The wanted state of an ENI's device (Terway's wire contract): up, an MTU that fits the pod's, the node's own address as /32
 * or /128 and no other, and a default route through the vSwitch's gateway in the table of the device. A family without a gateway
 * is left alone, and so are the addresses while the node's own device is not known: it may be this one.
 */
export function planEni(eni: Pick<EniDevice, 'gateway4' | 'gateway6'>, facts: EniFacts, minMtu: number): Desired {
  const at = { ns: 'host', dev: facts.dev } as const
  const families = ([4, 6] as const).filter(f => (f === 4 ? eni.gateway4 : eni.gateway6) !== undefined)
  const isUplink = facts.uplink === facts.dev
  const managed = facts.uplink === undefined || isUplink ? [] : families
  const ips = facts.hostIps.filter(ip => managed.includes(familyOf(ip)))
  return {
    ...nothing,
    links: [isUplink ? at : { ...at, minMtu }],
    sysctls: families.flatMap(f => nodeSysctls(f, facts)),
    addrs: ips.map((address): AddrWant => ({ ...at, address, prefix: width(address), nodad: familyOf(address) === 6, present: true })),
    exclusive: managed.map(family => ({ ...at, family })),
    routes: eniRoutes(eni, facts),
  }
}

function eniRoutes(eni: Pick<EniDevice, 'gateway4' | 'gateway6'>, facts: EniFacts): RouteWant[] {
  const at = { ns: 'host', dev: facts.dev } as const
  const table = tableOf(facts.index)
  const routes: RouteWant[] = []
  if (eni.gateway4 !== undefined) routes.push({ ...at, table, dst: default4, via: eni.gateway4, scope: 'global', onlink: true })
  if (eni.gateway6 !== undefined) {
    // Every ENI of the vSwitch, and the node itself, has the same gateway and needs a way to it over its own device.
    routes.push({ ...at, table: mainTable, dst: hostCidr(eni.gateway6), scope: 'link', beside: true })
    routes.push({ ...at, table, dst: default6, via: eni.gateway6, scope: 'global', onlink: true })
  }
  return routes
}

/** What makes the node forward what comes and goes by a device of it. */
export function nodeSysctls(family: Family, at: Pick<EniFacts, 'dev' | 'uplink'>): SysctlWant[] {
  return family === 4 ? nodeSysctls4(at) : nodeSysctls6(at)
}

/** The uplink takes part: the kernel applies the stricter filter of `all` and the device (docs/adr/0003). */
function nodeSysctls4({ dev, uplink }: Pick<EniFacts, 'dev' | 'uplink'>): SysctlWant[] {
  const devs = new Set<string>(['all', 'default', dev, ...(uplink === undefined ? [] : [uplink])])
  return [...devs].flatMap(d => forwardingSysctls(4, d))
}

/**
 * In this order: once the node forwards, 1 means that advertisements are ignored, and at that moment the kernel drops the
 * default routes learned from them; once IPv6 is on, a device detects duplicates.
 */
function nodeSysctls6({ dev, uplink }: Pick<EniFacts, 'dev' | 'uplink'>): SysctlWant[] {
  return [
    ...(uplink === undefined ? [] : [{ ...hostSysctl(6, uplink, 'accept_ra', '2'), instead: ['1'] }]),
    ...(dev === uplink ? [] : noAutoconf(dev)),
    ...['all', 'default', dev].flatMap(d => forwardingSysctls(6, d)),
  ]
}

/** What lets the host forward a pod's packets on one device. Reverse path filters would drop what policy routing sends another way. */
export function forwardingSysctls(family: Family, dev: string): SysctlWant[] {
  return [hostSysctl(family, dev, 'forwarding', '1'), hostSysctl(family, dev, family === 4 ? 'rp_filter' : 'disable_ipv6', '0')]
}

/**
 * A device of ours takes nothing from router advertisements, and its addresses are usable at once: the kernel asks for no
 * neighbour on behalf of a forwarded packet while the device's link-local address waits for duplicate detection, some seconds.
 */
export function noAutoconf(dev: string): SysctlWant[] {
  return [hostSysctl(6, dev, 'accept_ra', '0'), hostSysctl(6, dev, 'accept_dad', '0')]
}

function hostSysctl(family: Family, dev: string, key: string, value: string): SysctlWant {
  return { ns: 'host', key: `net/ipv${family}/conf/${dev}/${key}`, value }
}

function width(ip: Ip): number {
  return familyOf(ip) === 4 ? 32 : 128
}
