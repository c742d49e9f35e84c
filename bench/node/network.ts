// SPDX-License-Identifier: Apache-2.0
import { execFileSync } from 'node:child_process'
import type { Nic } from '#kube/crd/node.ts'

/** What every pod can reach if its node is right: an address on the far side of every ENI and of eth0. */
export const target = '198.51.100.1'

/** `ip` with one command per line, in one process. */
export function ipBatch(netns: string, lines: readonly string[]): void {
  execFileSync('ip', ['-n', netns, '-batch', '-'], { input: `${lines.join('\n')}\n`, stdio: ['pipe', 'pipe', 'inherit'] })
}

export function addNetns(name: string): void {
  execFileSync('ip', ['netns', 'add', name])
  ipBatch(name, ['link set lo up'])
}

/**
 * Gives a node its eth0 with a default route, and a namespace `<node>-far` at the other end. `ip` runs where the caller is, so
 * the node is a named namespace; name the bench machine's own one with nameOwnNetns first.
 */
export function makeNode(node: string): void {
  const far = `${node}-far`
  addNetns(far)
  ipBatch(node, [
    `link add eth0 type veth peer name port0 netns ${far}`,
    'addr add 192.168.0.10/24 dev eth0',
    'link set eth0 up',
    'route add default via 192.168.0.253',
  ])
  ipBatch(far, [`addr add ${target}/32 dev lo`, 'addr add 192.168.0.253/24 dev port0', 'link set port0 up'])
}

/** Mounts the caller's namespace under a name, so that `ip -n` finds it. */
export function nameOwnNetns(name: string): void {
  execFileSync('ip', ['netns', 'attach', name, String(process.pid)])
}

export interface BenchEni {
  readonly id: string
  readonly mac: string
  readonly cidr: string
  readonly gateway: string
  readonly addresses: readonly string[]
}

/** ENI number `n` (1…) of the bench node with that many addresses. */
export function benchEni(n: number, addresses: number): BenchEni {
  return {
    id: `eni-${n}`,
    mac: `02:00:00:00:00:${n.toString(16).padStart(2, '0')}`,
    cidr: `10.0.${n}.0/24`,
    gateway: `10.0.${n}.253`,
    addresses: Array.from({ length: addresses }, (_, i) => `10.0.${n}.${i + 10}`),
  }
}

/** The device of an ENI and the gateway behind it, which knows the ENI's addresses so far. */
export function plugEni(node: string, index: number, eni: BenchEni): void {
  ipBatch(node, [`link add eth${index} address ${eni.mac} type veth peer name port${index} netns ${node}-far`])
  ipBatch(`${node}-far`, [`addr add ${eni.gateway}/32 dev port${index}`, `link set port${index} up`])
  assignAddresses(node, index, eni.mac, eni.addresses)
}

/** As in the cloud, the far side knows by itself which MAC has an address: it never asks the node. Existing ones may be named again. */
export function assignAddresses(node: string, index: number, mac: string, addresses: readonly string[]): void {
  const lines = addresses.flatMap(ip => [
    `route replace ${ip} dev port${index}`,
    `neigh replace ${ip} lladdr ${mac} dev port${index} nud permanent`,
  ])
  ipBatch(`${node}-far`, lines)
}

export function nicOf(eni: BenchEni): Nic {
  return {
    id: eni.id,
    status: 'InUse',
    macAddress: eni.mac,
    vSwitchID: 'vsw-1',
    networkInterfaceType: 'Secondary',
    networkInterfaceTrafficMode: 'Standard',
    ipv4CIDR: eni.cidr,
    ipv4: Object.fromEntries(eni.addresses.map(ip => [ip, { ip, primary: false, status: 'Valid' }])),
  }
}
