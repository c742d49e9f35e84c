// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { default4, default6 } from '#datapath/ours.ts'
import { nodeConfigEntry, nodeSideOps } from '#datapath/v2/node-side.ts'
import { reservedPortsKey } from '#datapath/v2/reserved-ports.ts'
import { maps } from '#kernel/bpf/maps.ts'
import { block } from '#kernel/bpf/words.ts'
import { parseIfName } from '#kernel/names.ts'
import { formatOp, mainTable } from '#kernel/op.ts'
import type { HookState, NsState } from '#kernel/state.ts'
import { parseIp } from '#net/ip.ts'
import { emptyNamespace } from '../../../test/support/empty-namespace.ts'

const services = { natPortFirst: 61000, natPortLast: 65535 }
const [eth0, eth1] = [parseIfName('eth0'), parseIfName('eth1')]
const route = { table: mainTable, ifIndex: 2, scope: 'global', onlink: false, priority: 0 } as const
const address = (ip: string, ifIndex = 2) => ({ ifIndex, address: parseIp(ip), prefix: 24, scope: 'global', secondary: false }) as const
const bare: NsState = {
  ...emptyNamespace,
  ns: 'host',
  links: [
    { name: eth0, index: 2, mtu: 1500, up: true },
    { name: eth1, index: 3, mtu: 1500, up: true },
  ],
  addrs: [address('192.0.2.10'), address('2001:db8::10'), address('192.0.2.10', 3)],
  routes: [
    { ...route, dst: default4 },
    { ...route, dst: default6 },
  ],
  sysctls: { [reservedPortsKey]: '8080' },
}
const nodeHook = (ifIndex: number): HookState => ({ ifIndex, ingress: block.nodeIn, egress: block.nodeOut, foreign: false })
const config = (first: number, last: number) => {
  const value = maps.node_configs.value.encode({
    ifIndex: 2,
    address4: '192.0.2.10' as never,
    address6: parseIp('2001:db8::10'),
    natPortFirst: first,
    natPortLast: last,
  })
  return { ...nodeConfigEntry, value: value.toString('hex') }
}
const settled: NsState = {
  ...bare,
  sysctls: { [reservedPortsKey]: '8080,61000-65535' },
  hooks: [nodeHook(2)],
  filters: [
    { block: block.nodeIn, name: 'node_in.abc' },
    { block: block.nodeOut, name: 'node_out.abc' },
  ],
  entries: [config(61000, 65535)],
}
/** In few words: what is done to which device, map or setting. */
const told = (wanted: typeof services | undefined, host: NsState) =>
  nodeSideOps(wanted, host, 'abc').map(op =>
    op.op === 'map-put' ? `${op.map} ${maps.node_configs.value.decode(Buffer.from(op.value, 'hex')).natPortFirst}` : formatOp(op),
  )
const reserve = (ports: string) => `sysctl -w net.ipv4.ip_local_reserved_ports=${ports}`
const join0 = 'tc qdisc add dev eth0 ingress_block 2121728004 egress_block 2121728005 clsact'

test('Services begin: reserved ports, the node, its device, its programs', () => {
  const ops = told(services, bare)
  assert.deepEqual(ops.slice(0, 3), [reserve('8080,61000-65535'), 'node_configs 61000', join0])
  assert.match(ops[3] ?? '', /block 2121728004 .*node_in$/)
  assert.match(ops[4] ?? '', /block 2121728005 .*node_out$/)
  assert.equal(ops.length, 5)
})

test('what is as it should be stays', () => assert.deepEqual(told(services, settled), []))

test('another address of the node is told', () => {
  const addrs = [address('192.0.2.11'), address('2001:db8::10')]
  assert.deepEqual(told(services, { ...settled, addrs }), ['node_configs 61000'])
})

test('another range of ports takes the place of the old one', () => {
  const other = { natPortFirst: 40000, natPortLast: 49999 }
  assert.deepEqual(told(other, settled), [reserve('8080,40000-49999'), 'node_configs 40000'])
})

test('the default route moves to another device', () => {
  const ops = told(services, { ...settled, hooks: [nodeHook(3)] })
  assert.deepEqual(ops, ['tc qdisc del dev eth1 clsact', join0])
})

test('Services end: the device leaves, and the ports are free again', () => {
  assert.deepEqual(told(undefined, settled), [reserve('8080'), 'node_configs 0', 'tc qdisc del dev eth0 clsact'])
  assert.deepEqual(told(undefined, bare), [])
})

test('a device with a qdisc of somebody else is left alone, the rest is done', () => {
  const ops = told(services, { ...bare, hooks: [{ ifIndex: 2, foreign: true }] })
  assert.deepEqual(ops, [reserve('8080,61000-65535'), 'node_configs 61000'])
})

test('a node without a default route keeps what it has', () => assert.deepEqual(told(services, { ...settled, routes: [] }), []))
