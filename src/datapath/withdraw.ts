// SPDX-License-Identifier: Apache-2.0
import type { Attachment, ExclusiveEniAttachment, SharedEniAttachment } from '#datapath/attachment.ts'
import { homeName, parseMark } from '#datapath/eni-home.ts'
import type { Place } from '#datapath/mode/exclusive-eni.ts'
import { addressesOf } from '#datapath/mode/veth-route.ts'
import { ourRule, ruleOperands } from '#datapath/ours.ts'
import { servedEntries, servedPodQuery } from '#datapath/v2/served-pod.ts'
import { endpointRemoval } from '#datapath/v2/stale.ts'
import type { IfName, NetnsPath } from '#kernel/names.ts'
import { type KernelOp, mainTable } from '#kernel/op.ts'
import type { LinkState, NsQuery, NsState } from '#kernel/state.ts'
import { hostCidr } from '#net/cidr.ts'

/**
 * What makes a pod's addresses unroutable: its rules and its host routes go, the devices stay for the reaper, since their
 * deletion takes milliseconds. What the programs know goes first (`programs`: the node has them), so that they lead nobody to an
 * address that the host stack does not know. Only rules of our shape for these addresses, and routes over this pod's own host end.
 */
export function withdrawal(a: SharedEniAttachment, host: NsState, programs: boolean): KernelOp[] {
  const ips = addressesOf(a)
  const hostEnd = host.links.find(l => l.name === a.hostIfName)
  const rules = host.rules.flatMap((state): KernelOp[] => {
    const rule = ourRule(state)
    return rule !== undefined && ips.includes(rule.ip) ? [{ op: 'rule-del', ns: 'host', ...ruleOperands(rule) }] : []
  })
  return [...(programs ? endpointRemoval(a, host) : []), ...rules, ...routesOver(a, hostEnd, host)]
}

/** What `exclusiveWithdrawal` must see, and what takes a pod's Services away. */
export function exclusiveWithdrawalQuery(a: ExclusiveEniAttachment): readonly NsQuery[] {
  const host: NsQuery = {
    ns: 'host',
    links: 'all',
    routes: { tables: [mainTable], dst: addressesOf(a).map(hostCidr) },
    families: [4, 6],
    entries: servedEntries(a),
  }
  return [host, { ns: a.netns, links: 'all', families: [], ...servedPodQuery }]
}

/**
 * The same for a pod with an ENI for itself: its host routes go, and the ENI's `device` comes home, since what is not a machine's own device ends with the
 * namespace, which the runtime takes away next. Without `device` the node has it no more. One that says that another sandbox has it is that sandbox's.
 */
export function exclusiveWithdrawal(a: ExclusiveEniAttachment, host: NsState, device: Place | undefined): KernelOp[] {
  const hostEnd = host.links.find(l => l.name === a.hostIfName && (l.alias ?? a.containerId) === a.containerId)
  return [...routesOver(a, hostEnd, host), ...(device === undefined ? [] : homecoming(a, host, device))]
}

function homecoming({ containerId, eni: { mac } }: ExclusiveEniAttachment, host: NsState, { ns, link }: Place): KernelOp[] {
  const owner = parseMark(link.alias)?.owner
  if (ns === 'host') return owner === containerId ? [silence(link.name)] : []
  return owner === undefined || owner === containerId ? bringHome(ns, link.name, homeName(link, mac, host.links)) : []
}

/** Takes a device from a pod to the host, where it is nobody's. */
export function bringHome(netns: NetnsPath, dev: IfName, name: IfName): KernelOp[] {
  return [{ op: 'link-move', ns: netns, dev, to: 'host', name }, silence(name)]
}

function silence(dev: IfName): KernelOp {
  return { op: 'link-set', ns: 'host', dev, set: { alias: '' } }
}

function routesOver(a: Attachment, hostEnd: LinkState | undefined, host: NsState): KernelOp[] {
  return addressesOf(a).flatMap((ip): KernelOp[] => {
    const dst = hostCidr(ip)
    return host.routes.some(r => r.dst === dst && r.ifIndex === hostEnd?.index)
      ? [{ op: 'route-del', ns: 'host', dev: a.hostIfName, dst, table: mainTable, scope: 'link' }]
      : []
  })
}
