// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { endpointSlices } from '#kube/reflect/endpoint-slice.ts'
import { parseIp } from '#net/ip.ts'
import { here, service, slice } from '../../test/support/service-objects.ts'
import { VirtualClock } from '../../test/support/virtual-clock.ts'
import { sliceRow } from './endpoint-row.ts'
import { nodeFacts } from './node-facts.ts'
import { ServiceTables } from './service-tables.ts'
import { target } from './target.ts'

function tables(): ServiceTables {
  const t = new ServiceTables()
  t.setNode(here)
  t.replaceServices([service('d/a'), service('d/b')])
  t.replaceSlices([slice('d/a', 'a2', { '10.0.0.2': {} }), slice('d/a', 'a1', { '10.0.0.1': {} }), slice('d/b', 'b1', {})])
  t.takeDirty()
  return t
}

const changed = (t: ServiceTables) => [...t.takeDirty()].sort()
const names = (t: ServiceTables, key: string) => t.slicesOf(key).map(s => s.name)

test('what changes says which Service it is about, once', () => {
  const t = tables()
  assert.deepEqual(names(t, 'd/a'), ['a1', 'a2'])
  t.applyService(service('d/a', { clusterIP: '10.96.0.9' }))
  t.applySlice(slice('d/a', 'a1', { '10.0.0.1': { ready: false } }))
  assert.deepEqual(changed(t), ['d/a'])
  assert.deepEqual(changed(t), [])
  t.deleteSlice(slice('d/b', 'b1', {}))
  t.deleteService(service('d/a'))
  t.deleteService(service('d/never'))
  assert.deepEqual(changed(t), ['d/a', 'd/b'])
  assert.deepEqual([...t.services.keys()], ['d/b'])
  assert.deepEqual(names(t, 'd/a'), ['a1', 'a2'])
})

test('what says the same changes nothing', () => {
  const t = tables()
  t.replaceServices([service('d/b'), service('d/a')])
  t.applySlice(slice('d/a', 'a1', { '10.0.0.1': {} }))
  t.setNode({ ...here, addresses: [...here.addresses] })
  assert.deepEqual(changed(t), [])
})

test('what a whole list lacks is gone', () => {
  const t = tables()
  t.replaceServices([service('d/a')])
  assert.deepEqual(changed(t), ['d/b'])
  t.replaceSlices([slice('d/a', 'a1', { '10.0.0.1': {} })])
  assert.deepEqual(changed(t), ['d/a', 'd/b'])
  assert.deepEqual(names(t, 'd/a'), ['a1'])
})

test('a slice that goes to another Service is of both for the moment of the change', () => {
  const t = tables()
  t.applySlice(slice('d/b', 'a1', { '10.0.0.1': {} }))
  assert.deepEqual(changed(t), ['d/a', 'd/b'])
  assert.deepEqual(names(t, 'd/a'), ['a2'])
  assert.deepEqual(names(t, 'd/b'), ['a1', 'b1'])
})

test('Services and slices of other proxies are not there', () => {
  for (const label of ['service.kubernetes.io/service-proxy-name', 'service.kubernetes.io/headless']) {
    const t = tables()
    t.applyService(service('d/a', {}, { labels: { [label]: '' } }))
    t.applySlice(slice('d/b', 'b1', { '10.0.0.1': {} }, undefined, { [label]: 'mesh' }))
    assert.deepEqual(changed(t), ['d/a', 'd/b'])
    assert.deepEqual([...t.services.keys()], ['d/b'])
    assert.deepEqual(names(t, 'd/b'), [])
  }
})

test('facts of the node are about every Service', () => {
  const t = tables()
  t.setNode({ ...here, zone: 'b' })
  assert.deepEqual(changed(t), ['d/a', 'd/b'])
})

test('a row of a slice: conditions that are not said, addresses of the wrong family, a slice of nobody', () => {
  const raw = (labels: object, endpoints: readonly object[]) =>
    sliceRow(
      endpointSlices.parse({
        metadata: { name: 'x', namespace: 'd', labels },
        addressType: 'IPv4',
        ports: [{ port: 80 }, { name: 'any' }],
        endpoints,
      }),
    )
  const row = raw({ 'kubernetes.io/service-name': 'a' }, [
    { addresses: ['10.0.0.1', '10.0.0.2'] },
    { addresses: ['fd00::1'] },
    { addresses: ['no'] },
  ])
  assert.deepEqual(row, {
    name: 'x',
    service: 'd/a',
    family: 4,
    ports: [{ name: '', protocol: 6, port: 80, targets: [target(parseIp('10.0.0.1'), 80, 6)] }],
    endpoints: [{ ip: '10.0.0.1', ready: true, serving: true, terminating: false, node: '', forZones: [], forNodes: [] }],
  })
  assert.equal(raw({}, []), undefined)
})

test('a row keeps what it has in common with the one before, and is what it would be without', () => {
  const clock = new VirtualClock(7)
  const pick = <T>(...of: readonly T[]): T | undefined => of[Math.floor(clock.random() * of.length)]
  const random = (type: 'IPv4' | 'IPv6') => {
    const ips = type === 'IPv4' ? ['10.0.0.1', '10.0.0.2', '10.0.0.3', '010.0.0.1', 'no'] : ['fd00::1', 'FD00::1', 'fd00::2']
    return endpointSlices.parse({
      metadata: { name: 'x', namespace: 'd', labels: { 'kubernetes.io/service-name': 'a' } },
      addressType: type,
      ports: [
        { name: pick('a', 'b'), port: pick(80, 81) },
        { name: 'c', port: 82, protocol: pick('TCP', 'UDP') },
      ],
      endpoints: Array.from({ length: 4 }, () => ({
        addresses: [pick(...ips)],
        conditions: pick(undefined, { ready: false }, { ready: false, serving: true, terminating: true }),
        nodeName: pick('n1', 'n2', undefined),
        hints: pick(undefined, undefined, { forZones: [{ name: 'z' }] }, { forNodes: [] }),
      })),
    })
  }
  let before = sliceRow(random('IPv4'))
  for (let i = 0; i < 500; i++) {
    const slice = random(i % 50 < 40 ? 'IPv4' : 'IPv6')
    const row = sliceRow(slice, before)
    assert.deepEqual(row, sliceRow(slice))
    before = row
  }
  const [two, three] = [
    slice('d/a', 'x', { '10.0.0.1': {}, '10.0.0.2': {} }),
    slice('d/a', 'x', { '10.0.0.2': {}, '10.0.0.3': {}, '10.0.0.1': {} }),
  ]
  const old = sliceRow(two)
  const shared = sliceRow(three, old)
  assert.deepEqual(shared, sliceRow(three))
  assert.ok(shared?.endpoints[0] === old?.endpoints[1] && shared?.ports[0]?.targets[2] === old?.ports[0]?.targets[0])
})

test('a node serves NodePorts at its internal addresses', () => {
  const facts = nodeFacts({
    apiVersion: 'v1',
    kind: 'Node',
    metadata: { name: 'cn-a', labels: { 'topology.kubernetes.io/zone': 'cn-x-a' } },
    spec: {},
    status: {
      addresses: [
        { type: 'InternalIP', address: '192.168.0.10' },
        { type: 'ExternalIP', address: '203.0.113.1' },
        { type: 'Hostname', address: 'cn-a' },
        { type: 'InternalIP', address: 'fd00::10' },
      ],
    },
  })
  assert.deepEqual(facts, { name: 'cn-a', zone: 'cn-x-a', addresses: ['192.168.0.10', 'fd00::10'] })
  assert.deepEqual(nodeFacts({ apiVersion: 'v1', kind: 'Node', metadata: { name: 'cn-b' }, spec: {} }), {
    name: 'cn-b',
    zone: '',
    addresses: [],
  })
})
