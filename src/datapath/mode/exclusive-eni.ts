// SPDX-License-Identifier: Apache-2.0
import type { ExclusiveEniAttachment } from '#datapath/attachment.ts'
import {
  type AddrWant,
  type Desired,
  type Dev,
  type MoveWant,
  merge,
  type NeighWant,
  nothing,
  type OnlyRoutesWant,
  type RouteWant,
  type SysctlWant,
} from '#datapath/desired.ts'
import { nodeSysctls } from '#datapath/eni.ts'
import { formatMark } from '#datapath/eni-home.ts'
import { bucket, gatewaysOf, podSysctls6, type Side, sidesOf } from '#datapath/mode/veth-route.ts'
import { default4, default6 } from '#datapath/ours.ts'
import { type IfName, parseIfName } from '#kernel/names.ts'
import { mainTable } from '#kernel/op.ts'
import type { LinkState } from '#kernel/state.ts'
import { familyOfCidr, hostCidr } from '#net/cidr.ts'
import type { Ip } from '#net/ip.ts'
import type { Mac } from '#net/mac.ts'

/** The pod's end of the pair, beside its ENI (Terway's wire contract). */
export const peerName = parseIfName('veth1')

/** A device in some namespace. */
export interface Place {
  readonly ns: Dev['ns']
  readonly link: LinkState
}

/** What the plan takes from the world. */
export interface ExclusiveEniFacts {
  /** The ENI's device, wherever it is. */
  readonly device: Place
  /** What it is called on the host. */
  readonly home: IfName
  /** ENIs that are in the pod's namespace and not the pod's, and what each is called on the host. */
  readonly strangers: readonly { readonly link: LinkState; readonly home: IfName }[]
  /** Of the pair's ends, present or to be made. */
  readonly hostMac: Mac
  readonly peerMac: Mac
  readonly uplink?: IfName
  /** The node's own addresses. Without an uplink they are not known. */
  readonly nodeIps: readonly Ip[]
}

/**
 * The whole wanted state of a pod that has an ENI for itself, as on Terway's wire: the ENI's device is the pod's interface, and what it sends goes to the
 * vSwitch's gateway as from any machine. What belongs to the node's host stack (the node itself, Services, host_stack_cidrs) goes by a pair beside it.
 */
export function plan(a: ExclusiveEniAttachment, facts: ExclusiveEniFacts): Desired {
  const network = merge(planMoves(a, facts), { ...planEni(a), sysctls: sysctlsOf(a, facts.uplink) })
  return a.hostPeer ? merge(network, planPeer(a, facts)) : network
}

/** Those of the node first, which nothing of it needs without the pair. */
export function sysctlsOf(a: ExclusiveEniAttachment, uplink: IfName | undefined): SysctlWant[] {
  if (!a.hostPeer) return podSysctls(a, [a.ifName])
  const at = { dev: a.hostIfName, ...(uplink === undefined ? {} : { uplink }) }
  return [...sidesOf(a).flatMap(s => nodeSysctls(s.family, at)), ...podSysctls(a, [a.ifName, peerName])]
}

/** The neighbours that the pod has on the pair. */
export function peerIps(a: ExclusiveEniAttachment): Ip[] {
  return a.hostPeer ? sidesOf(a).map(s => s.linkIp) : []
}

function planMoves(a: ExclusiveEniAttachment, { device, home, strangers }: ExclusiveEniFacts): Desired {
  const mark = formatMark({ owner: a.containerId, home })
  return {
    ...nothing,
    moves: [
      ...strangers.map((s): MoveWant => ({ ns: 'host', dev: s.home, from: a.netns, link: s.link, alias: '' })),
      { ns: a.netns, dev: a.ifName, from: device.ns, link: device.link, alias: mark },
    ],
    links: [{ ns: a.netns, dev: a.ifName, mtu: a.mtu, alias: mark }],
  }
}

function planEni(a: ExclusiveEniAttachment): Desired {
  const sides = sidesOf(a)
  const pod = { ns: a.netns, dev: a.ifName } as const
  return {
    ...nothing,
    addrs: sides.map(s => addressOf(pod, s)),
    exclusive: sides.map(s => ({ ...pod, family: s.family })),
    routes: sides.flatMap(s => eniRoutes(a, s)),
    tbfs: a.egressBytesPerSecond === undefined ? [] : [{ ...pod, ...bucket(a.egressBytesPerSecond, a.mtu) }],
  }
}

function planPeer(a: ExclusiveEniAttachment, { hostMac, peerMac, uplink, nodeIps }: ExclusiveEniFacts): Desired {
  const sides = sidesOf(a)
  const host = { ns: 'host', dev: a.hostIfName } as const
  const peer = { ns: a.netns, dev: peerName, table: mainTable } as const
  const toNode = [...a.hostRoutes, ...nodeIps.map(hostCidr)]
  return {
    ...nothing,
    veth: { hostDev: a.hostIfName, hostMac, netns: a.netns, podDev: peerName, podMac: peerMac, mtu: a.mtu },
    links: [
      { ...host, mtu: a.mtu, alias: a.containerId },
      { ns: a.netns, dev: peerName, mtu: a.mtu },
    ],
    addrs: sides.map(s => addressOf(peer, s)),
    exclusive: sides.map(s => ({ ...peer, family: s.family })),
    neighs: sides.map((s): NeighWant => ({ ...peer, ip: s.linkIp, mac: hostMac })),
    routes: sides.flatMap((s): RouteWant[] => [
      { ...host, table: mainTable, dst: hostCidr(s.address), scope: 'link' },
      { ...peer, dst: hostCidr(s.linkIp), scope: 'link' },
      ...toNode
        .filter(dst => familyOfCidr(dst) === s.family)
        .map((dst): RouteWant => ({ ...peer, dst, via: s.linkIp, scope: 'global', onlink: true })),
    ]),
    // A node whose addresses are not known just now has them still.
    onlyRoutes: uplink === undefined ? [] : sides.map((s): OnlyRoutesWant => ({ ...peer, via: s.linkIp })),
  }
}

function addressOf({ ns, dev }: Dev, { family, address, prefix }: Side): AddrWant {
  return { ns, dev, address, prefix, nodad: family === 6, present: true }
}

function eniRoutes(a: ExclusiveEniAttachment, s: Side): RouteWant[] {
  const at = { ns: a.netns, dev: a.ifName, table: mainTable } as const
  const { gateway4, gateway6 } = gatewaysOf(a)
  const gateway = (s.family === 4 ? gateway4 : gateway6) ?? s.gateway
  const extra = a.extraRoutes.filter(dst => familyOfCidr(dst) === s.family)
  const used = new Set([...(a.defaultRoute ? [gateway] : []), ...(extra.length > 0 ? [s.gateway] : [])])
  const routes: RouteWant[] = s.family === 4 ? [] : [...used].map(ip => ({ ...at, dst: hostCidr(ip), scope: 'link' }))
  if (a.defaultRoute) routes.push({ ...at, dst: s.family === 4 ? default4 : default6, via: gateway, scope: 'global', onlink: true })
  for (const dst of extra) routes.push({ ...at, dst, via: s.gateway, scope: 'global', onlink: true })
  return routes
}

/**
 * What the node sends may come by either device, and go back by the other. Router advertisements of the vSwitch reach the pod itself, which takes
 * nothing from them, also without an IPv6 address of its own.
 */
function podSysctls(a: ExclusiveEniAttachment, devs: readonly IfName[]): SysctlWant[] {
  const families = sidesOf(a).map(s => s.family)
  const unfiltered = families.includes(4) && a.hostPeer ? ['all', ...devs] : []
  return [
    ...unfiltered.map(dev => ({ ns: a.netns, key: `net/ipv4/conf/${dev}/rp_filter`, value: '0' })),
    ...(families.includes(6) ? podSysctls6(a, devs) : [{ ns: a.netns, key: `net/ipv6/conf/${a.ifName}/accept_ra`, value: '0' }]),
  ]
}
