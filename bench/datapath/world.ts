// SPDX-License-Identifier: Apache-2.0
// Pairs of nodes in network namespaces, all joined by one namespace that routes with the kernel's own forwarding: the same cost for every pair.
import { execFileSync } from 'node:child_process'
import type { ExclusiveEniAttachment, SharedEniAttachment } from '#datapath/attachment.ts'
import { hostIfName } from '#datapath/host-if-name.ts'
import { parseIfName, parseNetnsPath } from '#kernel/names.ts'
import { parseCidr } from '#net/cidr.ts'
import { parseIpv4, parseIpv6 } from '#net/ip.ts'
import { parseMac } from '#net/mac.ts'
import { addNetns, ipBatch } from '../node/network.ts'
import type { Addresses } from './services.ts'

const fabric = 'fabric'

/** Node `number` (1…): its eth0 is 192.168.<number>.10 and fd01:<number>::10, its ENI eth1 serves 10.0.<number>.0/24 and fd00:<number>::/64. */
export interface BenchNode {
  readonly name: string
  readonly number: number
}

export const addressesOf = ({ number }: BenchNode): Addresses => ({ v4: `192.168.${number}.10`, v6: `fd01:${number}::10` })
const macOf = (node: BenchNode, device: number) => `02:00:00:00:0${device}:${node.number.toString(16).padStart(2, '0')}`

/** BBR, where a machine has it as its default, would pace the streams with timers. */
function sysctl(netns: string, ...settings: string[]): void {
  execFileSync('ip', ['netns', 'exec', netns, 'sysctl', '-qw', 'net.ipv4.tcp_congestion_control=reno', ...settings])
}

export function makeFabric(): void {
  addNetns(fabric)
  sysctl(
    fabric,
    'net.ipv4.ip_forward=1',
    'net.ipv4.conf.all.rp_filter=0',
    'net.ipv4.conf.default.rp_filter=0',
    'net.ipv6.conf.all.forwarding=1',
  )
}

export function makeNode(node: BenchNode): void {
  const { name, number } = node
  addNetns(name)
  sysctl(name)
  ipBatch(
    name,
    [0, 1].map(d => `link add eth${d} address ${macOf(node, d)} type veth peer name n${number}e${d} netns ${fabric}`),
  )
  ipBatch(fabric, [
    `addr add 192.168.${number}.253/24 dev n${number}e0`,
    `addr add fd01:${number}::fd/64 dev n${number}e0 nodad`,
    `addr add 10.0.${number}.253/24 dev n${number}e1`,
    `addr add fd00:${number}::fd/64 dev n${number}e1 nodad`,
    ...[0, 1].map(d => `link set n${number}e${d} up`),
  ])
  const { v4, v6 } = addressesOf(node)
  ipBatch(name, [
    `addr add ${v4}/24 dev eth0`,
    `addr add ${v6}/64 dev eth0 nodad`,
    'link set eth0 up',
    `route add default via 192.168.${number}.253`,
    `route add default via fd01:${number}::fd`,
  ])
}

export type BenchPod = SharedEniAttachment & Required<Pick<SharedEniAttachment, 'v4' | 'v6'>> & { readonly name: string }

/** The namespace of pod number `n` (1…) of the node, and what the datapath is told of it. As in the cloud, the fabric never asks who has its address. */
export function makePod(node: BenchNode, n: number): BenchPod {
  const { number } = node
  const name = `${node.name}-pod${n}`
  addNetns(name)
  sysctl(name)
  const v4 = {
    address: parseIpv4(`10.0.${number}.${10 + n}`),
    subnet: parseCidr(`10.0.${number}.0/24`),
    gateway: parseIpv4(`10.0.${number}.253`),
  }
  const v6 = {
    address: parseIpv6(`fd00:${number}::${10 + n}`),
    subnet: parseCidr(`fd00:${number}::/64`),
    gateway: parseIpv6(`fd00:${number}::fd`),
  }
  ipBatch(
    fabric,
    [v4, v6].map(({ address }) => `neigh replace ${address} lladdr ${macOf(node, 1)} dev n${number}e1 nud permanent`),
  )
  return {
    name,
    kind: 'shared-eni',
    containerId: name,
    netns: parseNetnsPath(netnsFile(name)),
    ifName: parseIfName('eth0'),
    hostIfName: hostIfName('default', name, 'eth0'),
    mtu: 1500,
    eni: { eniId: `eni-${number}`, mac: parseMac(macOf(node, 1)), gateway4: v4.gateway, gateway6: v6.gateway },
    v4,
    v6,
    defaultRoute: true,
    extraRoutes: [],
  }
}

/** The same pod with the node's ENI for itself. */
export function withOwnEni(pod: BenchPod): ExclusiveEniAttachment {
  return { ...pod, kind: 'exclusive-eni', hostRoutes: [], hostPeer: true }
}

export function netnsFile(name: string): string {
  return `/run/netns/${name}`
}

export function indexOf(node: BenchNode, device: string): number {
  const [link] = JSON.parse(execFileSync('ip', ['-n', node.name, '-j', 'link', 'show', device], { encoding: 'utf8' }))
  return link.ifindex
}

/** Packets that the node's host stack forwarded, of both families. */
export function forwarded(node: BenchNode): number {
  const counters = ['IpForwDatagrams', 'Ip6OutForwDatagrams']
  const text = execFileSync('ip', ['netns', 'exec', node.name, 'nstat', '-asz', ...counters], { encoding: 'utf8' })
  return counters.reduce((sum, name) => sum + Number(new RegExp(`${name}\\s+(\\d+)`).exec(text)?.[1]), 0)
}
