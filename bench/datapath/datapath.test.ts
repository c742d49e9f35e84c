// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { maps } from '#kernel/bpf/maps.ts'
import { parseIpv4 } from '#net/ip.ts'
import { row } from '../measure/row.ts'
import { pictureOf } from '../show/pictures.ts'
import { baselineOf, cells, figureOf } from './cells.ts'
import { datapathFigures } from './figures.ts'
import { policyOps } from './policy.ts'
import { collectionsOf } from './service-objects.ts'
import { serviceOf, servicesOf } from './services.ts'
import { datapathTables } from './tables.ts'

test('every cell has a figure of its own, and a baseline that is measured', () => {
  const names = cells.map(figureOf)
  assert.equal(new Set(names).size, names.length)
  for (const cell of cells) assert.ok(names.includes(baselineOf(cell)), figureOf(cell))
  assert.ok(names.includes('dp.v2.crossnode.crr.2cpu.vs_host'))
  assert.ok(names.includes('dp.v2.crossnode.stream.vs_host'))
})

test('ways by Services and full tables have the names of the goals', () => {
  const names = cells.map(figureOf)
  for (const name of [
    'dp.v2.crr.svc1.vs_host',
    'dp.v2.crr.svc1000.vs_host',
    'dp.v2.crr.svc10000.vs_host',
    'dp.veth_nft.tcp_rr.svc1000.vs_host',
  ])
    assert.ok(names.includes(name), name)
  for (const name of ['dp.v2.ct10k.vs_host', 'dp.v2.ct1m.vs_host', 'dp.v2.ct1m.tcp_rr.vs_host']) assert.ok(names.includes(name), name)
  const socket = cells.find(cell => figureOf(cell) === 'dp.v2.socket.crr.vs_node')
  assert.equal(socket && baselineOf(socket), 'dp.v2.node.crr.vs_host')
})

test('those in the middle of the Services lead to what is wanted, whatever their number', () => {
  const wanted = (['TCP', 'UDP'] as const).map(protocol => ({
    protocol,
    endpoint: { ips: { v4: '10.0.2.11', v6: 'fd00:2::11' }, port: 7777 },
  }))
  const thousand = servicesOf(1000, wanted)
  for (const family of ['v4', 'v6'] as const) assert.equal(new Set(thousand.map(s => s.ips[family])).size, 1000)
  assert.deepEqual(serviceOf(thousand, 0, 4), { ip: '10.96.2.1', port: 80 })
  assert.deepEqual(serviceOf(thousand, 1, 6), { ip: 'fd00:96::202', port: 80 })
  assert.deepEqual(
    thousand.filter(s => s.endpoints.length === 1).map(({ protocol, endpoints: [endpoint] }) => ({ protocol, endpoint })),
    wanted,
  )
  assert.equal(servicesOf(1, wanted)[0]?.endpoints[0], wanted[0]?.endpoint)
  assert.throws(() => serviceOf(servicesOf(1, wanted), 1, 4), /no Service/)
  assert.equal(servicesOf(10_000, [])[9999]?.ips.v4, '10.96.39.250')
})

test('an API server has the Services, a slice of each family for each, and the node', () => {
  const wanted = [{ protocol: 'UDP', endpoint: { ips: { v4: '10.0.2.11', v6: 'fd00:2::11' }, port: 7777 } }] as const
  const collections = collectionsOf(servicesOf(3, wanted), { name: 'node', ips: { v4: '192.0.2.1', v6: 'fd01::1' } })
  const all = Object.values(collections).map(({ count, item }) => Array.from({ length: count }, (_, n) => JSON.stringify(item(n, '7'))))
  assert.deepEqual(
    all.map(items => items.length),
    [3, 6, 1, 0],
  )
  assert.match(all[0]?.[1] ?? '', /"clusterIPs":\["10.96.0.2","fd00:96::2"\].*"protocol":"UDP","port":80,"targetPort":7777/)
  assert.match(all[1]?.[3] ?? '', /service-name":"s000001".*"addressType":"IPv6".*\["fd00:2::11"\].*"port":7777/)
})

test('the goals are those of rows that exist, and floors', () => {
  const withGoal = Object.entries(datapathFigures).filter(([, f]) => f.goal !== undefined)
  assert.equal(withGoal.length, 23)
  for (const [name, f] of withGoal) assert.equal(f.atLeast ?? false, name.endsWith('.vs_host'), name)
})

test('the policy has 1 000 entries, and allows the pods one port in both directions', () => {
  const ops = policyOps([4, 5], [parseIpv4('10.0.9.11')], 7777).flatMap(op => (op.op === 'map-put' ? [op] : []))
  const keys = ops.filter(op => op.map === 'policies').map(op => op.key)
  assert.equal(keys.length, 1000)
  assert.equal(new Set(keys).size, 1000)
  const ports = keys.map(key => maps.policies.key.decode(Buffer.from(key, 'hex'))).filter(({ port }) => port === 7777)
  assert.deepEqual(
    ports.map(({ direction, protocol }) => [direction, protocol]),
    [
      [1, 6],
      [1, 17],
      [2, 6],
      [2, 17],
    ],
  )
  assert.equal(ops.filter(op => op.map === 'endpoint_policies').length, 2)
})

test('the picture shows ways with their goals, and where the time goes', () => {
  const rows = [
    row('dp.v2.crossnode.tcp_rr.1cpu.vs_host', [0.9]),
    row('dp.veth.samenode.stream.vs_host', [0.8]),
    row('dp.profile.stream.host.tcp.us', [140]),
    row('dp.profile.stream.host.ip.us', [40]),
  ]
  const picture = pictureOf('datapath', rows, undefined) ?? ''
  for (const wanted of ['>two nodes: V2<', '>one node: regular<', 'class="goal"', '>host to host<', '>180 µs<'])
    assert.ok(picture.includes(wanted), wanted)
})

test('the tables show a way in its group with its goal, the difference to the host, and every figure once with its spread', () => {
  const rows = [
    row('dp.host.tcp_rr.1cpu.p50.us', [16]),
    row('dp.v2.crossnode.tcp_rr.1cpu.vs_host', [0.9, 0.8, 0.95]),
    row('dp.v2.ct1m.vs_host', [0.9]),
    row('dp.profile.tcp_rr.host.ip.us', [3]),
    row('dp.profile.tcp_rr.v2.ip.us', [2.5]),
    row('dp.v2.load.ms', [400]),
  ]
  const tables = datapathTables(rows, ['PICTURE']).join('\n\n')
  assert.match(tables, /\| \*\*across nodes\*\* \| \| \| \| \|\n(\|.*\n)*\| V2 \| 0\.9, goal 0\.93 \|/)
  assert.match(tables, /\| V2, 1 000 000 others \| {2}\| {2}\| 0\.9, goal 0\.85 met \|/)
  assert.match(tables, /\| TCP: byte and back, DataPath V2 \|( 0\.00 \|){5} -0\.50 \|( 0\.00 \|){3} -0\.50 \|/)
  for (const { figure } of rows) assert.equal(tables.split(`\`${figure}\``).length, 2, figure)
  assert.match(tables, /\n<details><summary>.*<\/summary>\n\n\| figure/)
})
