// SPDX-License-Identifier: Apache-2.0
import type { Attachment, EniDevice, IfName, NetnsPath, SharedEniAttachment } from '#datapath/attachment.ts'
import {
  type AddrWant,
  type Desired,
  merge,
  type NeighWant,
  nothing,
  type RouteWant,
  type RuleWant,
  type SysctlWant,
  type TbfWant,
} from '#datapath/desired.ts'
import { type EniFacts, forwardingSysctls, noAutoconf, planEni } from '#datapath/eni.ts'
import { default4, default6, fromPodPriority, linkIp4, linkIp6, tableOf, toPodPriority } from '#datapath/ours.ts'
import { mainTable } from '#kernel/op.ts'
import { familyOfCidr, hostCidr } from '#net/cidr.ts'
import type { Family, Ip } from '#net/ip.ts'
import type { Mac } from '#net/mac.ts'

/** What the plan takes from the world: the ENI's device, and the addresses of the two ends, present or to be made. */
export interface VethRouteFacts {
  readonly eni: EniFacts
  readonly hostMac: Mac
  readonly podMac: Mac
}

/** One family of an attachment in a form that does not depend on the family. */
export interface Side {
  readonly family: Family
  readonly address: Ip
  readonly gateway: Ip
  readonly linkIp: Ip
  readonly prefix: number
}

/**
 * The whole wanted state of a pod on a shared ENI, policy-routed over a veth, as on Terway's wire: the pod sees a /32 and a
 * gateway that is no address of anybody; the host knows the way to the pod in the main table (rule 512) and sends what
 * comes from it to the ENI's table (rule 2048). The ENI's own state is part of it: pods do not work without.
 */
export function plan(a: SharedEniAttachment, facts: VethRouteFacts): Desired {
  const sides = sidesOf(a)
  const host = { ns: 'host', dev: a.hostIfName } as const
  const pod = { ns: a.netns, dev: a.ifName } as const
  const hasExtraRoutes = (family: Family) => a.extraRoutes.some(dst => familyOfCidr(dst) === family)
  const own: Desired = {
    ...nothing,
    veth: { hostDev: a.hostIfName, hostMac: facts.hostMac, netns: a.netns, podDev: a.ifName, podMac: facts.podMac, mtu: a.mtu },
    links: [
      { ...host, mtu: a.mtu, alias: a.containerId },
      { ...pod, mtu: a.mtu },
    ],
    sysctls: sides.flatMap(s => [...forwardingSysctls(s.family, a.hostIfName), ...(s.family === 6 ? ipv6Sysctls(a) : [])]),
    addrs: sides.flatMap((s): AddrWant[] => [
      { ...host, address: s.linkIp, prefix: s.prefix, nodad: s.family === 6, present: hasExtraRoutes(s.family) },
      { ...pod, address: s.address, prefix: s.prefix, nodad: s.family === 6, present: true },
    ]),
    exclusive: sides.map(s => ({ ...pod, family: s.family })),
    neighs: sides.flatMap((s): NeighWant[] => [
      { ...pod, ip: s.linkIp, mac: facts.hostMac },
      // Nobody answers for the vSwitch's gateway on the veth; extra routes name it.
      ...(hasExtraRoutes(s.family) ? [{ ...pod, ip: s.gateway, mac: facts.hostMac }] : []),
    ]),
    routes: sides.flatMap((s): RouteWant[] => [{ ...host, table: mainTable, dst: hostCidr(s.address), scope: 'link' }, ...podRoutes(a, s)]),
    rules: sides.flatMap((s): RuleWant[] => [
      { priority: toPodPriority, to: hostCidr(s.address), table: mainTable },
      { priority: fromPodPriority, from: hostCidr(s.address), table: tableOf(facts.eni.index) },
    ]),
    tbfs: [
      ...(a.ingressBytesPerSecond === undefined ? [] : [{ ...host, ...bucket(a.ingressBytesPerSecond, a.mtu) }]),
      ...(a.egressBytesPerSecond === undefined ? [] : [{ ...pod, ...bucket(a.egressBytesPerSecond, a.mtu) }]),
    ],
  }
  return merge(planEni(gatewaysOf(a), facts.eni, a.mtu), own)
}

/** Only the families the pod has: a pod without IPv6 is no judge of the ENI's. Its subnet is the ENI's unless the ENI says otherwise. */
export function gatewaysOf({ eni, v4, v6 }: Attachment): Pick<EniDevice, 'gateway4' | 'gateway6'> {
  return {
    ...(v4 === undefined ? {} : { gateway4: eni.gateway4 ?? v4.gateway }),
    ...(v6 === undefined ? {} : { gateway6: eni.gateway6 ?? v6.gateway }),
  }
}

/** The pod's addresses, IPv4 first. */
export function addressesOf(a: Attachment): Ip[] {
  return sidesOf(a).map(s => s.address)
}

export function sidesOf(a: Attachment): Side[] {
  const sides: Side[] = []
  if (a.v4 !== undefined) sides.push({ family: 4, address: a.v4.address, gateway: a.v4.gateway, linkIp: linkIp4, prefix: 32 })
  if (a.v6 !== undefined) sides.push({ family: 6, address: a.v6.address, gateway: a.v6.gateway, linkIp: linkIp6, prefix: 128 })
  return sides
}

function podRoutes(a: SharedEniAttachment, s: Side): RouteWant[] {
  const at = { ns: a.netns, dev: a.ifName, table: mainTable } as const
  const extra = a.extraRoutes.filter(dst => familyOfCidr(dst) === s.family)
  const routes: RouteWant[] = []
  if (extra.length > 0) routes.push({ ...at, dst: hostCidr(s.linkIp), scope: 'link' })
  if (a.defaultRoute) {
    routes.push({ ...at, dst: s.family === 4 ? default4 : default6, via: s.linkIp, scope: 'global', onlink: true })
  }
  for (const dst of extra) routes.push({ ...at, dst, via: s.gateway, scope: 'global', onlink: true })
  return routes
}

/** IPv6 usable in the pod, and at once on both ends: nobody else is on the veth, so duplicates cannot be. */
function ipv6Sysctls(a: SharedEniAttachment): SysctlWant[] {
  return [...noAutoconf(a.hostIfName), ...podSysctls6(a, [a.ifName])]
}

/** IPv6 usable at once in a pod, on these devices of it, without router advertisements. */
export function podSysctls6({ netns }: Attachment, devs: readonly IfName[]): SysctlWant[] {
  return [
    ...['all', 'default', 'lo', ...devs].map(dev => sysctl6(netns, dev, 'disable_ipv6', '0')),
    ...devs.flatMap(dev => [sysctl6(netns, dev, 'accept_ra', '0'), sysctl6(netns, dev, 'accept_dad', '0')]),
  ]
}

function sysctl6(ns: NetnsPath, dev: string, key: string, value: string): SysctlWant {
  return { ns, key: `net/ipv6/conf/${dev}/${key}`, value }
}

/** Terway's bucket: room for one millisecond or two packets, 25 ms of queue. Rate in bytes per second. */
export function bucket(rate: number, mtu: number): Pick<TbfWant, 'rate' | 'burst' | 'limit'> {
  const burst = Math.ceil(Math.max(rate / 1000, mtu + 1500))
  return { rate, burst, limit: Math.ceil(rate * 0.025) + burst }
}
