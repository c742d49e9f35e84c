// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { ExclusiveEniAttachment } from '#datapath/attachment.ts'
import { diff } from '#datapath/diff.ts'
import { planServed, servedRemoval, staleNamespaces } from '#datapath/v2/served-pod.ts'
import { maps, namespaceKeyOf } from '#kernel/bpf/maps.ts'
import { addressState, block, namespaceOf } from '#kernel/bpf/words.ts'
import { parseIfName, parseNetnsPath } from '#kernel/names.ts'
import { formatOp } from '#kernel/op.ts'
import type { EntryState, NsState } from '#kernel/state.ts'
import { parseCidr } from '#net/cidr.ts'
import { parseIpv4 } from '#net/ip.ts'
import { parseMac } from '#net/mac.ts'
import { emptyNamespace } from '../../../test/support/empty-namespace.ts'

const a: ExclusiveEniAttachment = {
  kind: 'exclusive-eni',
  containerId: 'box',
  netns: parseNetnsPath('/run/netns/box'),
  ifName: parseIfName('eth0'),
  hostIfName: parseIfName('cali0123456789a'),
  mtu: 1500,
  v4: { address: parseIpv4('10.0.1.5'), subnet: parseCidr('10.0.1.0/24'), gateway: parseIpv4('10.0.1.253') },
  eni: { eniId: 'eni-1', mac: parseMac('00:16:3e:00:00:05') },
  defaultRoute: true,
  extraRoutes: [],
  hostRoutes: [],
  hostPeer: true,
}
const hostEnd = { name: a.hostIfName, index: 9, mtu: 1500, up: true } as const
const host: NsState = { ...emptyNamespace, ns: 'host', links: [hostEnd] }
const pod: NsState = { ...emptyNamespace, ns: a.netns, cookie: 7n }
const generation = 'aaaaaaaaaaaa'

const address = `key hex 00 00 00 00 00 00 00 00 00 00 ff ff 0a 00 01 05 value hex`
const puts = {
  address: `bpftool map update pinned maps/addresses-1 ${address} 09 00 00 00`,
  namespace: 'bpftool map update pinned maps/namespaces-1 key hex 07 00 00 00 00 00 00 00 value hex 02 00 00 00',
}
const joins = `tc qdisc add dev ${a.hostIfName} ingress_block ${block.nodeIn} egress_block ${block.nodeOut} clsact`
const runs = [
  [block.nodeIn, 'node_in'],
  [block.nodeOut, 'node_out'],
].map(
  ([at, program]) =>
    `tc filter replace block ${at} handle 1 protocol all bpf direct-action object-pinned programs/${generation}/${program}`,
)
/** The words of an entry up to the incarnation. */
const lines = (of: ExclusiveEniAttachment, seen = { host, pod }, isMade = true) =>
  diff(planServed(of, generation, isMade, seen), seen).map(op => formatOp(op).replace(/( 09 00 00 00| <number of \S+>).*$/, '$1'))

test('a pod has its address, its namespace, and the programs of the node at its host end', () => {
  assert.deepEqual(lines(a), [puts.address, puts.namespace, joins, ...runs])
})

test('what is there already is not put again', () => {
  const entries = planServed(a, generation, true, { host, pod }).entries.map(({ map, key, value }): EntryState => ({ map, key, value }))
  const hooks = [{ ifIndex: 9, ingress: block.nodeIn, egress: block.nodeOut, foreign: false }]
  const filters = [
    { block: block.nodeIn, name: `node_in.${generation}` },
    { block: block.nodeOut, name: `node_out.${generation}` },
  ]
  const seen = { host: { ...host, hooks, filters, entries: entries.slice(0, 1) }, pod: { ...pod, entries: entries.slice(1) } }
  assert.deepEqual(lines(a, seen), [])
})

test('a host end that is still to be made is named later; without one there is the namespace alone', () => {
  const [first] = lines(a, { host: { ...host, links: [] }, pod }, false)
  assert.equal(first, puts.address.replace('09 00 00 00', `<number of ${a.hostIfName}>`))
  assert.deepEqual(lines({ ...a, hostPeer: false }), [puts.namespace])
})

test('a host end that somebody else uses is told of by the state of its address', () => {
  const taken = { ...host, hooks: [{ ifIndex: 9, foreign: true }] }
  const states = [host, taken].map(seen => {
    const [{ value } = assert.fail('no entry')] = planServed(a, generation, true, { host: seen, pod }).entries
    return maps.addresses.value.decode(Buffer.from(value, 'hex')).state
  })
  assert.deepEqual(states, [addressState.exclusive, addressState.stack])
})

test('a host end that somebody else uses is left alone, and a kernel without cookies names no namespace', () => {
  const taken = { ...host, hooks: [{ ifIndex: 9, foreign: true }] }
  const { cookie: _, ...untold } = pod
  assert.deepEqual(lines(a, { host: taken, pod: untold }), [puts.address])
})

test('a withdrawal takes both away, unless another sandbox has the address by now', () => {
  const [own, named] = planServed(a, generation, true, { host, pod }).entries
  assert.ok(own !== undefined && named !== undefined)
  const removed = (of: ExclusiveEniAttachment, seen: NsState | undefined) =>
    servedRemoval(of, { ...host, entries: [own] }, seen).map(op => (op.op === 'map-del' ? op.map : op.op))
  assert.deepEqual(removed(a, { ...pod, entries: [named] }), ['addresses', 'namespaces'])
  assert.deepEqual(removed(a, undefined), ['addresses'])
  assert.deepEqual(removed({ ...a, containerId: 'next' }, { ...pod, entries: [named] }), ['namespaces'])
})

test('a namespace that is no pod any more is swept, the node stays', () => {
  const entry = (cookie: bigint, translated: number) => ({
    key: maps.namespaces.key.encode({ cookie }),
    value: maps.namespaces.value.encode({ translated }),
  })
  const entries = [entry(1n, namespaceOf.node), entry(7n, namespaceOf.pod), entry(8n, namespaceOf.pod)]
  const ops = staleNamespaces(entries, new Set([7n]))
  assert.deepEqual(ops, [{ op: 'map-del', ns: 'host', map: 'namespaces', key: namespaceKeyOf(8n) }])
})
