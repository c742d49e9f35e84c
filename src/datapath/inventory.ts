// SPDX-License-Identifier: Apache-2.0
import type { Attachment, IfName, NetnsPath } from '#datapath/attachment.ts'
import { homeName, parseMark } from '#datapath/eni-home.ts'
import { isHostIfName } from '#datapath/host-if-name.ts'
import { addressesOf } from '#datapath/mode/veth-route.ts'
import { fromPodPriority, hostOf, linkIp6, ourRule, ruleOperands, toPodPriority } from '#datapath/ours.ts'
import type { Inventory, PodEni } from '#datapath/port.ts'
import { bringHome } from '#datapath/withdraw.ts'
import { type KernelOp, mainTable } from '#kernel/op.ts'
import type { LinkState, NsQuery, NsState, Observed } from '#kernel/state.ts'
import { hostCidr } from '#net/cidr.ts'
import type { Ip } from '#net/ip.ts'

/** One look at the host, and one into each of these namespaces. */
export function inventoryQueries(among: readonly NetnsPath[]): readonly NsQuery[] {
  const host: NsQuery = {
    ns: 'host',
    links: 'all',
    routes: { tables: [mainTable] },
    rules: { priorities: [toPodPriority, fromPodPriority] },
    families: [4, 6],
    nsids: among,
  }
  return [host, ...among.map((ns): NsQuery => ({ ns, links: 'all', families: [] }))]
}

/** The objects with our markers, of the host and in the namespaces of pods. */
export function takeInventory(host: NsState, pods: readonly Observed[]): Inventory {
  const hostLinks = host.links.filter(l => isHostIfName(l.name))
  const enis = enisIn(pods, host.links)
  const paths = new Map(Object.entries(host.nsids).map(([path, nsid]) => [nsid, path as NetnsPath]))
  return {
    hostLinks: hostLinks.map(({ name, index, up, mtu, alias, peerNsid }) => {
      const netns = peerNsid === undefined ? undefined : paths.get(peerNsid)
      return { name, index, up, mtu, ...(alias ? { owner: alias } : {}), ...(netns && { netns }) }
    }),
    rules: host.rules.flatMap(r => ourRule(r) ?? []),
    routes: host.routes.flatMap(r => {
      const [ip, dev] = [hostOf(r.dst), hostLinks.find(l => l.index === r.ifIndex)?.name]
      // The kernel makes a route for the address of the host end itself; it goes with the device.
      return ip === undefined || ip === linkIp6 || dev === undefined || r.via !== undefined ? [] : [{ ip, dev }]
    }),
    ...(enis.length === 0 ? {} : { enis }),
  }
}

/** No two of them, and nothing of the host, will have one name there. */
function enisIn(pods: readonly Observed[], taken: readonly LinkState[]): PodEni[] {
  const enis: PodEni[] = []
  for (const { ns, links } of pods.filter(pod => pod !== undefined)) {
    for (const link of links) {
      const { alias, mac, name: dev } = link
      const mark = parseMark(alias)
      if (ns === 'host' || mark === undefined || mac === undefined) continue
      const home = homeName(link, mac, [...taken, ...enis.map(e => ({ name: e.home }))])
      enis.push({ netns: ns, dev, mac, mtu: link.mtu, owner: mark.owner, home })
    }
  }
  return enis
}

/** What of an inventory no live attachment accounts for. Pass every attachment whose lease is not dying. */
export function leftovers(all: Inventory, live: readonly Attachment[]): Inventory {
  const names = new Set<IfName>(live.map(a => a.hostIfName))
  const ips = new Set<Ip>(live.flatMap(addressesOf))
  const strays = all.enis?.filter(e => !live.some(a => a.kind === 'exclusive-eni' && a.eni.mac === e.mac)) ?? []
  return {
    hostLinks: all.hostLinks.filter(l => !names.has(l.name)),
    rules: all.rules.filter(r => !ips.has(r.ip)),
    routes: all.routes.filter(r => !ips.has(r.ip) || !names.has(r.dev)),
    ...(strays.length === 0 ? {} : { enis: strays }),
  }
}

/** What is in both: a leftover that is still there, the device not yet replaced by another of the same name. */
export function stillThere(left: Inventory, now: Inventory): Inventory {
  const enis = now.enis?.filter(n => left.enis?.some(e => e.netns === n.netns && e.mac === n.mac && e.owner === n.owner)) ?? []
  return {
    hostLinks: left.hostLinks.filter(l => now.hostLinks.some(n => n.name === l.name && n.index === l.index)),
    rules: left.rules.filter(r => now.rules.some(n => n.priority === r.priority && n.ip === r.ip && n.table === r.table)),
    routes: left.routes.filter(r => now.routes.some(n => n.ip === r.ip && n.dev === r.dev)),
    ...(enis.length === 0 ? {} : { enis }),
  }
}

/** Removes rules and routes of an inventory, and takes ENIs home; its host links go with `reapLinks`. */
export function removalOf(left: Inventory): KernelOp[] {
  return [
    ...left.rules.map((rule): KernelOp => ({ op: 'rule-del', ns: 'host', ...ruleOperands(rule) })),
    ...left.routes.map(
      ({ ip, dev }): KernelOp => ({ op: 'route-del', ns: 'host', dev, dst: hostCidr(ip), table: mainTable, scope: 'link' }),
    ),
    ...(left.enis ?? []).flatMap(({ netns, dev, home }) => bringHome(netns, dev, home)),
  ]
}
