// SPDX-License-Identifier: Apache-2.0
import type { EniDevice, IfName } from '#datapath/attachment.ts'
import type { AddrWant, Desired, RouteWant, SysctlWant } from '#datapath/desired.ts'
import { isHostIfName } from '#datapath/host-if-name.ts'
import { default4, default6, tableOf } from '#datapath/ours.ts'
import { mainTable } from '#kernel/op.ts'
import type { NsQuery, NsState } from '#kernel/state.ts'
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
  /** The devices of the node's own default routes. */
  readonly nodeDevs: readonly IfName[]
  /** One of them is this very device: its addresses and its MTU belong to the node, not to us. */
  readonly primary: boolean
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
  const defaults = ([4, 6] as const).flatMap(family => hostDefault(family, host) ?? [])
  return {
    dev: link.name,
    index: link.index,
    mac,
    hostIps: defaults.flatMap(d => d.ip ?? []),
    nodeDevs: [...new Set(defaults.flatMap(d => host.links.find(l => l.index === d.ifIndex)?.name ?? []))],
    primary: defaults.some(d => d.ifIndex === link.index),
  }
}

/** The device of the default route of the main table, and the address the node speaks from. */
function hostDefault(family: Family, host: NsState): { readonly ifIndex: number; readonly ip: Ip | undefined } | undefined {
  const [route] = host.routes.filter(r => r.dst === (family === 4 ? default4 : default6)).sort((a, b) => a.priority - b.priority)
  if (route === undefined) return undefined
  const own = host.addrs.find(a => a.ifIndex === route.ifIndex && familyOf(a.address) === family && a.scope === 'global' && !a.secondary)
  return { ifIndex: route.ifIndex, ip: route.prefSrc ?? own?.address }
}

/**
 * The wanted state of an ENI's device (Terway's wire contract): up, an MTU that fits the pod's, the node's own address as /32
 * or /128, and a default route through the vSwitch's gateway in the table of the device. A family without a gateway is left alone.
 */
export function planEni(eni: Pick<EniDevice, 'gateway4' | 'gateway6'>, facts: EniFacts, minMtu: number): Desired {
  const at = { ns: 'host', dev: facts.dev } as const
  const families = ([4, 6] as const).filter(f => (f === 4 ? eni.gateway4 : eni.gateway6) !== undefined)
  const managed = facts.primary ? [] : facts.hostIps.filter(ip => families.includes(familyOf(ip)))
  return {
    links: [facts.primary ? at : { ...at, minMtu }],
    sysctls: families.flatMap(f => forwardingDevs(f, facts).flatMap(dev => forwardingSysctls(f, dev))),
    addrs: managed.map((address): AddrWant => ({ ...at, address, prefix: width(address), nodad: familyOf(address) === 6, present: true })),
    exclusive: managed.map(ip => ({ ...at, family: familyOf(ip) })),
    neighs: [],
    routes: eniRoutes(eni, facts),
    rules: [],
    tbfs: [],
  }
}

function eniRoutes(eni: Pick<EniDevice, 'gateway4' | 'gateway6'>, facts: EniFacts): RouteWant[] {
  const at = { ns: 'host', dev: facts.dev } as const
  const table = tableOf(facts.index)
  const routes: RouteWant[] = []
  if (eni.gateway4 !== undefined) routes.push({ ...at, table, dst: default4, via: eni.gateway4, scope: 'global', onlink: true })
  if (eni.gateway6 !== undefined) {
    routes.push({ ...at, table: mainTable, dst: hostCidr(eni.gateway6), scope: 'link' })
    routes.push({ ...at, table, dst: default6, via: eni.gateway6, scope: 'global', onlink: true })
  }
  return routes
}

/** The node's own devices take part for IPv4: the kernel applies the stricter of `all` and the device (docs/adr/0003). */
function forwardingDevs(family: Family, { dev, nodeDevs }: EniFacts): string[] {
  return [...new Set(['all', 'default', dev, ...(family === 4 ? nodeDevs : [])])]
}

/** What lets the host forward a pod's packets on one device. Reverse path filters would drop what policy routing sends another way. */
export function forwardingSysctls(family: Family, dev: string): SysctlWant[] {
  const want = (key: string, value: string): SysctlWant => ({ ns: 'host', key: `net/ipv${family}/conf/${dev}/${key}`, value })
  if (family === 4) return [want('forwarding', '1'), want('rp_filter', '0')]
  const routers = dev === 'all' || dev === 'default' ? [] : [want('accept_ra', '0')]
  return [want('disable_ipv6', '0'), want('forwarding', '1'), ...routers]
}

function width(ip: Ip): number {
  return familyOf(ip) === 4 ? 32 : 128
}
