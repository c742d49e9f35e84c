// SPDX-License-Identifier: Apache-2.0
// Pairs of nodes in network namespaces, all joined by one namespace that routes with the kernel's own forwarding: the same cost for every pair.
import { execFileSync } from 'node:child_process'
import type { SharedEniAttachment } from '#datapath/attachment.ts'
import { hostIfName } from '#datapath/host-if-name.ts'
import { parseIfName, parseNetnsPath } from '#kernel/names.ts'
import { parseCidr } from '#net/cidr.ts'
import { parseIpv4 } from '#net/ip.ts'
import { parseMac } from '#net/mac.ts'
import { addNetns, ipBatch } from '../node/network.ts'

const fabric = 'fabric'

/** Node `number` (1…): its eth0 is 192.168.<number>.10, its ENI eth1 serves 10.0.<number>.0/24. */
export interface BenchNode {
  readonly name: string
  readonly number: number
}

export const addressOf = (node: BenchNode) => `192.168.${node.number}.10`
const macOf = (node: BenchNode, device: number) => `02:00:00:00:0${device}:${node.number.toString(16).padStart(2, '0')}`

/** BBR, where a machine has it as its default, would pace the streams with timers. */
function sysctl(netns: string, ...settings: string[]): void {
  execFileSync('ip', ['netns', 'exec', netns, 'sysctl', '-qw', 'net.ipv4.tcp_congestion_control=reno', ...settings])
}

export function makeFabric(): void {
  addNetns(fabric)
  sysctl(fabric, 'net.ipv4.ip_forward=1', 'net.ipv4.conf.all.rp_filter=0', 'net.ipv4.conf.default.rp_filter=0')
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
    `addr add 10.0.${number}.253/24 dev n${number}e1`,
    ...[0, 1].map(d => `link set n${number}e${d} up`),
  ])
  ipBatch(name, [`addr add ${addressOf(node)}/24 dev eth0`, 'link set eth0 up', `route add default via 192.168.${number}.253`])
}

/** The namespace of pod number `n` (1…) of the node, and what the datapath is told of it. As in the cloud, the fabric never asks who has its address. */
export function makePod(node: BenchNode, n: number): SharedEniAttachment & { readonly name: string } {
  const name = `${node.name}-pod${n}`
  const address = `10.0.${node.number}.${10 + n}`
  addNetns(name)
  sysctl(name)
  ipBatch(fabric, [`neigh replace ${address} lladdr ${macOf(node, 1)} dev n${node.number}e1 nud permanent`])
  const gateway = parseIpv4(`10.0.${node.number}.253`)
  return {
    name,
    kind: 'shared-eni',
    containerId: name,
    netns: parseNetnsPath(netnsFile(name)),
    ifName: parseIfName('eth0'),
    hostIfName: hostIfName('default', name, 'eth0'),
    mtu: 1500,
    eni: { eniId: `eni-${node.number}`, mac: parseMac(macOf(node, 1)), gateway4: gateway },
    v4: { address: parseIpv4(address), subnet: parseCidr(`10.0.${node.number}.0/24`), gateway },
    defaultRoute: true,
    extraRoutes: [],
  }
}

export function netnsFile(name: string): string {
  return `/run/netns/${name}`
}

export function indexOf(node: BenchNode, device: string): number {
  const [link] = JSON.parse(execFileSync('ip', ['-n', node.name, '-j', 'link', 'show', device], { encoding: 'utf8' }))
  return link.ifindex
}

/** Packets that the node's host stack forwarded. */
export function forwarded(node: BenchNode): number {
  const text = execFileSync('ip', ['netns', 'exec', node.name, 'nstat', '-asz', 'IpForwDatagrams'], { encoding: 'utf8' })
  return Number(/IpForwDatagrams\s+(\d+)/.exec(text)?.[1])
}
