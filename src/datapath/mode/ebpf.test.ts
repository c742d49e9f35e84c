// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { SharedEniAttachment } from '#datapath/attachment.ts'
import { merge } from '#datapath/desired.ts'
import { diff } from '#datapath/diff.ts'
import type { EniFacts } from '#datapath/eni.ts'
import { endpointFacts, entryQuery, incarnationOf, planEndpoint } from '#datapath/mode/ebpf.ts'
import { plan } from '#datapath/mode/veth-route.ts'
import { withdrawal } from '#datapath/withdraw.ts'
import { maps } from '#kernel/bpf/maps.ts'
import { block } from '#kernel/bpf/words.ts'
import { parseIfName, parseNetnsPath } from '#kernel/names.ts'
import { formatOp, type KernelOp } from '#kernel/op.ts'
import type { NsState } from '#kernel/state.ts'
import { hostCidr, parseCidr } from '#net/cidr.ts'
import { parseIpv4, parseIpv6 } from '#net/ip.ts'
import { parseMac } from '#net/mac.ts'
import { emptyNamespace } from '../../../test/support/empty-namespace.ts'

const [cali, eth1] = [parseIfName('cali0d7763386da'), parseIfName('eth1')]
const macs = { hostMac: parseMac('02:00:00:00:00:01'), podMac: parseMac('02:00:00:00:00:02') }
const eni: EniFacts = { dev: eth1, index: 7, mac: parseMac('00:16:3e:00:00:01'), hostIps: [], uplink: parseIfName('eth0') }
const programs = { generation: 'abc', services: false }
const v4 = { address: parseIpv4('10.0.1.5'), subnet: parseCidr('10.0.1.0/24'), gateway: parseIpv4('10.0.1.253') }
const v6 = { address: parseIpv6('fd00:1::5'), subnet: parseCidr('fd00:1::/64'), gateway: parseIpv6('fd00:1::fd') }
const pod: SharedEniAttachment = {
  kind: 'shared-eni',
  containerId: 'c5',
  netns: parseNetnsPath('/run/netns/pod5'),
  ifName: parseIfName('eth0'),
  hostIfName: cali,
  mtu: 1500,
  v4,
  v6,
  eni: { eniId: 'eni-1', mac: eni.mac },
  defaultRoute: true,
  extraRoutes: [],
}
const bare: NsState = {
  ...emptyNamespace,
  ns: 'host',
  links: [
    { name: eth1, index: 7, mtu: 1500, up: true },
    { name: cali, index: 20, mtu: 1500, up: true, alias: 'c5' },
  ],
}

function ops(a: SharedEniAttachment, host: NsState, facts: EniFacts = eni): KernelOp[] {
  return diff(planEndpoint(a, endpointFacts(a, facts, { ...macs, isMade: true }, programs, host)), { host })
}

/** What the kernel would show after these operations. */
function after(host: NsState, done: readonly KernelOp[]): NsState {
  const index = (dev: string) => host.links.find(l => l.name === dev)?.index ?? 0
  return {
    ...host,
    entries: [...host.entries, ...done.flatMap(op => (op.op === 'map-put' ? [{ map: op.map, key: op.key, value: op.value }] : []))],
    hooks: [...host.hooks, ...done.flatMap(op => (op.op === 'block-join' ? [{ ...op, ifIndex: index(op.dev), foreign: false }] : []))],
    filters: [
      ...host.filters,
      ...done.flatMap(op => (op.op === 'filter-set' ? [{ block: op.block, name: `${op.program}.${op.generation}` }] : [])),
    ],
  }
}

const ip4 = '00 00 00 00 00 00 00 00 00 00 ff ff 0a 00 01 05'
const ip6 = 'fd 00 00 01 00 00 00 00 00 00 00 00 00 00 00 05'
const c5 = incarnationOf(pod)
const hex = (n: number) =>
  maps.endpoints.key
    .encode({ ifIndex: n })
    .toString('hex')
    .replace(/..(?=.)/g, '$& ')
const update = (map: string, key: string, value: string) => `bpftool map update pinned maps/${map}-1 key hex ${key} value hex ${value}`
const remove = (map: string, key: string) => `bpftool map delete pinned maps/${map}-1 key hex ${key}`
const addressLines = (state: string) =>
  [ip4, ip6].map(ip => update('addresses', ip, `14 00 00 00 ${hex(c5)} ${state} 00 00 00 00 00 00 00`))
const filterLine = (program: string, number: number) =>
  `tc filter replace block ${number} handle 1 protocol all bpf direct-action object-pinned programs/abc/${program}`

test('the incarnation is of the container, and never 0', () => {
  assert.equal(incarnationOf(pod), incarnationOf({ containerId: 'c5' }))
  assert.notEqual(incarnationOf(pod), incarnationOf({ containerId: 'c6' }))
  assert.notEqual(incarnationOf(pod), 0)
})

test('a pod beside its routes: the endpoint, then the addresses that lead to it, then the hooks, then what runs there', () => {
  const done = ops(pod, bare)
  assert.deepEqual(done.map(formatOp), [
    update(
      'endpoints',
      '14 00 00 00',
      // Incarnation, ENI, the two MACs, the two MTUs, flags, no tag, and address and gateway of each family.
      `${hex(c5)} 07 00 00 00 02 00 00 00 00 02 02 00 00 00 00 01 dc 05 dc 05 00 00 00 00 00 00 00 00 0a 00 01 05 0a 00 01 fd ${ip6} fd 00 00 01 00 00 00 00 00 00 00 00 00 00 00 fd ${'00 '.repeat(24).trim()}`,
    ),
    ...addressLines('01'),
    `tc qdisc add dev ${cali} ingress_block ${block.podIn} egress_block ${block.podOut} clsact`,
    `tc qdisc add dev eth1 ingress_block ${block.eniIn} clsact`,
    filterLine('pod_in', block.podIn),
    filterLine('pod_out', block.podOut),
    filterLine('eni_in', block.eniIn),
  ])
  assert.deepEqual(ops(pod, after(bare, done)), [], 'then nothing differs')
})

/** The endpoint of a pod as the programs see it. */
function endpoint(a: SharedEniAttachment, host: NsState = bare, facts: EniFacts = eni) {
  const entry = ops(a, host, facts).find(op => op.op === 'map-put' && op.map === 'endpoints')
  return entry?.op === 'map-put' ? maps.endpoints.value.decode(Buffer.from(entry.value, 'hex')) : assert.fail('no endpoint')
}

test('an endpoint: families, MTU of the way out, the queue of its host end', () => {
  const { v6: _, ...only4 } = pod
  assert.deepEqual([endpoint(only4).address6, endpoint(only4).gateway6, endpoint(only4).gateway4], [undefined, undefined, v4.gateway])
  assert.equal(endpoint({ ...pod, eni: { ...pod.eni, gateway4: parseIpv4('10.0.1.1') } }).gateway4, '10.0.1.1')
  const jumbo = endpoint({ ...pod, mtu: 8500 })
  assert.deepEqual([jumbo.mtu, jumbo.outMtu], [8500, 8500], 'the ENI is raised')
  const own = endpoint({ ...pod, mtu: 8500 }, bare, { ...eni, uplink: eth1 })
  assert.deepEqual([own.mtu, own.outMtu], [8500, 1500], "the node's own device is not")
  assert.deepEqual([endpoint(pod).flags, endpoint({ ...pod, ingressBytesPerSecond: 1 }).flags], [0, 1])
})

test('what somebody took away or changed comes back, and nothing else', () => {
  const settled = after(bare, ops(pod, bare))
  const lines = (host: Partial<NsState>) => ops(pod, { ...settled, ...host }).map(formatOp)
  assert.deepEqual(lines({ filters: settled.filters.slice(1) }), [filterLine('pod_in', block.podIn)])
  assert.deepEqual(lines({ filters: settled.filters.map(f => ({ ...f, name: 'pod_in.old' })) }).length, 3, 'another generation')
  assert.deepEqual(lines({ hooks: settled.hooks.slice(1) }), [
    `tc qdisc add dev ${cali} ingress_block ${block.podIn} egress_block ${block.podOut} clsact`,
  ])
  assert.deepEqual(lines({ hooks: settled.hooks.map(h => (h.ifIndex === 20 ? { ifIndex: 20, ingress: 5, foreign: false } : h)) }), [
    `tc qdisc del dev ${cali} clsact`,
    `tc qdisc add dev ${cali} ingress_block ${block.podIn} egress_block ${block.podOut} clsact`,
  ])
  assert.deepEqual(lines({ entries: settled.entries.slice(0, 2) }), addressLines('01').slice(1))
  assert.deepEqual(lines({ entries: settled.entries.map(e => (e.map === 'addresses' ? { ...e, value: '00' } : e)) }), addressLines('01'))
})

test("beside somebody else's qdisc none of ours can be: such a pod is left to the host stack, and says so", () => {
  const taken = (ifIndex: number) => ops(pod, { ...bare, hooks: [{ ifIndex, foreign: true }] }).map(formatOp)
  assert.deepEqual(taken(20), [
    ...addressLines('02'),
    `tc qdisc add dev eth1 ingress_block ${block.eniIn} clsact`,
    filterLine('eni_in', block.eniIn),
  ])
  assert.deepEqual(taken(7).slice(3), [
    `tc qdisc add dev ${cali} ingress_block ${block.podIn} egress_block ${block.podOut} clsact`,
    filterLine('pod_in', block.podIn),
    filterLine('pod_out', block.podOut),
  ])
})

test("where Services are the programs' business, the node's own device is left to the program of the node's side", () => {
  const joins = (uplink: string, services: boolean) => {
    const facts = endpointFacts(pod, { ...eni, uplink: parseIfName(uplink) }, { ...macs, isMade: true }, { ...programs, services }, bare)
    return planEndpoint(pod, facts).hooks.map(h => h.dev)
  }
  assert.deepEqual(joins('eth1', true), [cali])
  assert.deepEqual(joins('eth1', false), [cali, eth1])
  assert.deepEqual(joins('eth0', true), [cali, eth1])
})

test('a host end that is still to be made joins before anything else happens to it, and gives its entries the number that it gets', () => {
  const pair = { state: 'absent', namesake: true, ...macs } as const
  const endpoint = planEndpoint(pod, endpointFacts(pod, eni, { ...macs, isMade: false }, programs, bare))
  const done = diff(merge(plan(pod, { eni, ...macs }), endpoint), { host: bare }, pair)
  assert.deepEqual(
    done.slice(0, 4).map(op => op.op),
    ['link-del', 'veth-add', 'block-join', 'block-join'],
  )
  const number = `<number of ${cali}>`
  assert.deepEqual(
    done.filter(op => op.op === 'map-put').map(op => formatOp(op).replace(/(?<=maps.endpoints.*)value.*/, 'value')),
    [
      `bpftool map update pinned maps/endpoints-1 key hex ${number} value`,
      ...[ip4, ip6].map(ip => update('addresses', ip, `${number} ${hex(c5)} 01 00 00 00 00 00 00 00`)),
    ],
  )
})

test('what is looked at is what is planned', () => {
  const planned = ops(pod, bare).flatMap(op => (op.op === 'map-put' ? [`${op.map} ${op.key}`] : []))
  assert.deepEqual(
    entryQuery(pod, 20)
      .map(e => `${e.map} ${e.key}`)
      .toSorted(),
    planned.toSorted(),
  )
  assert.equal(entryQuery(pod, undefined).length, 2)
})

test('a withdrawal takes the addresses first, then the endpoint, then rules and routes; what another sandbox has by now stays', () => {
  const settled = after(bare, ops(pod, bare))
  const routed = {
    ...settled,
    routes: [{ table: 254, dst: hostCidr(v4.address), ifIndex: 20, scope: 'link', onlink: false, priority: 0 }],
  } as const
  const endpointLines = [remove('endpoints', '14 00 00 00'), remove('endpoint_counters', '14 00 00 00')]
  const lines = (a: SharedEniAttachment, host: NsState) => withdrawal(a, host, true).map(formatOp)
  assert.deepEqual(lines(pod, routed), [
    remove('addresses', ip4),
    remove('addresses', ip6),
    ...endpointLines,
    `ip route del 10.0.1.5/32 dev ${cali} scope link`,
  ])
  assert.deepEqual(lines(pod, { ...settled, links: [] }).slice(2), endpointLines, 'its device is gone already')
  assert.deepEqual(lines(pod, { ...settled, entries: [] }), endpointLines, 'its addresses are not there yet')
  assert.deepEqual(lines({ ...pod, containerId: 'c4' }, settled), [])
})
