// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { maps as mapSpecs } from '#kernel/bpf/maps.ts'
import type { Change } from '#state/entry.ts'
import { ServiceMaps } from '../../../test/support/service-maps.ts'
import { type Endpoints, here, service, slice } from '../../../test/support/service-objects.ts'
import { drainMs } from './backends.ts'
import { algorithmAnnotation } from './plan.ts'
import { nothingRestored, restoreIds } from './restore.ts'
import { type ServiceOptions, ServiceState } from './state.ts'

function begin(options?: ServiceOptions): ServiceState {
  const state = new ServiceState(nothingRestored, 0, options)
  state.tables.setNode(here)
  return state
}

const pods = (n: number): Endpoints => Object.fromEntries(Array.from({ length: n }, (_, i) => [`10.0.0.${i + 1}`, {}]))
const short = ({ map, value }: Change) => `${map} ${value === undefined ? '-' : '+'}`
const told = (state: ServiceState) => state.facts().map(f => `${f.about.namespace}/${f.about.name} ${f.reason}: ${f.message}`)

test('an endpoint that goes costs two slots, the count and the backend, however many there are', () => {
  const state = begin()
  state.tables.applyService(service('d/a'))
  state.tables.applySlice(slice('d/a', 'x', pods(200)))
  state.take(0)
  const { '10.0.0.5': _, ...rest } = pods(200)
  state.tables.applySlice(slice('d/a', 'x', rest))
  assert.deepEqual(state.take(0).map(short), ['backend_slots +', 'backend_sets +', 'backend_slots -', 'backends +'])
  state.tables.applySlice(slice('d/a', 'x', pods(200)))
  assert.deepEqual(state.take(0).map(short), ['backends +', 'backend_slots +', 'backend_sets +'])
})

test('nothing changes when nothing does', () => {
  const state = begin()
  state.tables.applyService(service('d/a', { type: 'NodePort', sessionAffinity: 'ClientIP', ports: [{ port: 80, nodePort: 30080 }] }))
  state.tables.applySlice(slice('d/a', 'x', pods(3)))
  assert.ok(state.take(0).length > 0)
  state.tables.replaceServices([...state.tables.services.values()])
  state.tables.applySlice(slice('d/a', 'x', pods(3), undefined, { other: 'label' }))
  state.tables.applySlice(slice('d/a', 'empty', {}))
  state.tables.setNode({ ...here })
  assert.deepEqual(state.take(0), [])
  assert.equal(state.nextExpiry(), undefined)
})

test('a backend drains for its time, unless it comes back; the last number stays until there is a later one', () => {
  const state = begin()
  const maps = new ServiceMaps()
  const take = (now: number) => maps.apply(state.take(now))
  const draining = () => maps.lines().filter(l => l.endsWith('draining'))
  state.tables.applyService(service('d/a'))
  state.tables.applySlice(slice('d/a', 'x', pods(3)))
  take(0)
  state.tables.applySlice(slice('d/a', 'x', {}))
  take(1000)
  assert.deepEqual(draining(), ['10.0.0.1:8080/TCP draining', '10.0.0.2:8080/TCP draining', '10.0.0.3:8080/TCP draining'])
  assert.equal(state.nextExpiry(), 1000 + drainMs)
  state.tables.applySlice(slice('d/a', 'x', { '10.0.0.2': {} }))
  take(2000)
  state.tables.applySlice(slice('d/a', 'x', {}))
  take(3000)
  take(1000 + drainMs)
  assert.deepEqual(draining(), ['10.0.0.2:8080/TCP draining', '10.0.0.3:8080/TCP draining'])
  assert.equal(state.nextExpiry(), 3000 + drainMs)
  take(3000 + drainMs)
  assert.deepEqual(draining(), ['10.0.0.3:8080/TCP draining'])
  assert.equal(state.nextExpiry(), undefined)
  // A process that begins now still gives a number that nobody has had.
  const next = new ServiceState(
    restoreIds(map => maps.raw(map)),
    3000 + drainMs,
  )
  next.tables.replaceServices([service('d/a')])
  next.tables.replaceSlices([slice('d/a', 'x', { '10.0.0.9': {} })])
  const [backend] = next.take(3000 + drainMs).filter(c => c.map === 'backends')
  assert.equal(backend?.key, '04000000')
  assert.equal(next.nextExpiry(), 3000 + 2 * drainMs)
})

test('a backend of two sets is one, and drains when both have let it go', () => {
  const state = begin()
  state.tables.replaceServices([service('d/a'), service('d/b', { clusterIP: '10.96.0.2' })])
  state.tables.replaceSlices([slice('d/a', 'x', pods(1)), slice('d/b', 'y', pods(1))])
  assert.equal(state.take(0).filter(c => c.map === 'backends').length, 1)
  state.tables.deleteService(service('d/a'))
  assert.deepEqual(state.take(0).map(short), ['services -', 'backend_sets -', 'backend_slots -'])
  state.tables.deleteService(service('d/b'))
  assert.deepEqual(state.take(0).map(short), ['services -', 'backend_sets -', 'backend_slots -', 'backends +'])
})

test('a Service that loses a backend of UDP leaves it, also while another Service has it; a connection of TCP may stay', () => {
  const ports = [
    { name: 'dns', protocol: 'UDP', port: 53 },
    { name: 'dns-tcp', port: 53 },
  ]
  const blue = { '10.0.0.1': {} }
  const green = { '10.0.0.2': {} }
  const maps = new ServiceMaps()
  let state = begin()
  const tell = (active: Endpoints) => {
    for (const [name, ip] of [
      ['active', '10.96.0.1'],
      ['preview', '10.96.0.2'],
    ])
      state.tables.applyService(service(`d/${name}`, { clusterIP: ip, ports }))
    state.tables.applySlice(slice('d/active', 'x', active, ports))
    state.tables.applySlice(slice('d/preview', 'y', blue, ports))
    return state.take(0)
  }
  maps.apply(tell(blue))
  const before = maps.lines()
  // Another process knows whose each number is.
  state = new ServiceState(
    restoreIds(map => maps.raw(map)),
    0,
  )
  state.tables.setNode(here)
  assert.deepEqual(maps.towards(tell(blue)), [])
  assert.deepEqual(maps.lines(), before)
  assert.equal(maps.get('backends').size, 3)
  maps.apply(tell(green))
  assert.deepEqual(maps.lines(), [
    '10.96.0.1:53/TCP inside -> [10.0.0.2:53/TCP]',
    '10.96.0.1:53/UDP inside -> [10.0.0.2:53/UDP]',
    '10.96.0.2:53/TCP inside -> [10.0.0.1:53/TCP]',
    '10.96.0.2:53/UDP inside -> [10.0.0.1:53/UDP]',
    '10.0.0.1:53/UDP draining',
  ])
})

test('the frontend of a Service that is gone stays, and is the same when it comes back', () => {
  const state = begin()
  state.tables.applyService(service('d/a'))
  const [first] = state.take(0).filter(c => c.map === 'services')
  state.tables.deleteService(service('d/a'))
  assert.ok(!state.take(0).some(c => c.map === 'frontends'))
  state.tables.applyService(service('e/b'))
  state.take(0)
  state.tables.deleteService(service('e/b'))
  state.tables.applyService(service('d/a'))
  const again = state.take(0)
  assert.ok(!again.some(c => c.map === 'frontends'))
  const [second] = again.filter(c => c.map === 'services')
  assert.equal(second?.value?.slice(8, 16), first?.value?.slice(8, 16))
})

test('frontends of Services that are gone go when they fill half of the map', () => {
  const state = begin()
  const maps = new ServiceMaps()
  const half = mapSpecs.frontends.entries / 2
  const many = Array.from({ length: half }, (_, i) => `203.${i >> 16}.${(i >> 8) & 255}.${i & 255}`)
  for (const change of [service('d/many', { externalIPs: many }), service('e/b', { clusterIP: '10.96.0.2' })]) {
    state.tables.replaceServices([change])
    for (const c of state.take(0)) maps.set(c)
  }
  assert.equal(maps.get('frontends').size, half)
  maps.check()
})

test('of two Services that want one address the older one has it, until it goes', () => {
  const state = begin()
  const maps = new ServiceMaps()
  const take = () => maps.apply(state.take(0))
  const at = (ip: string) => maps.lines().filter(l => l.startsWith(`${ip}:80/TCP outside`))
  const old = service('d/old', { clusterIP: '10.96.0.2', externalIPs: ['203.0.113.1'] }, { created: '2026-01-01T00:00:00Z' })
  const young = service('d/a', { clusterIP: '10.96.0.1', externalIPs: ['203.0.113.1'] }, { created: '2026-01-02T00:00:00Z' })
  state.tables.applyService(young)
  state.tables.applySlice(slice('d/a', 'x', { '10.0.0.1': {} }))
  state.tables.applySlice(slice('d/old', 'y', { '10.0.0.2': {} }))
  take()
  assert.deepEqual(at('203.0.113.1'), ['203.0.113.1:80/TCP outside -> [10.0.0.1:8080/TCP]'])
  assert.deepEqual(told(state), [])
  state.tables.applyService(old)
  take()
  assert.deepEqual(at('203.0.113.1'), ['203.0.113.1:80/TCP outside -> [10.0.0.2:8080/TCP]'])
  const fact = 'd/a ServiceFrontendConflict: 203.0.113.1:80/TCP is served for d/old, which is older'
  assert.deepEqual(told(state), [fact])
  take()
  assert.deepEqual(told(state), [])
  state.tables.deleteService(old)
  take()
  assert.deepEqual(at('203.0.113.1'), ['203.0.113.1:80/TCP outside -> [10.0.0.1:8080/TCP]'])
  // It is told again when it is true again.
  state.tables.applyService(old)
  take()
  assert.deepEqual(told(state), [fact])
  maps.check()
})

test('a port of SCTP that would have to be another one is told of, once', () => {
  const state = begin()
  state.tables.applyService(service('d/a', { ports: [{ protocol: 'SCTP', port: 80 }] }))
  state.tables.applySlice(slice('d/a', 'x', pods(1), [{ protocol: 'SCTP', port: 8080 }]))
  state.take(0)
  assert.deepEqual(told(state), [
    'd/a ServicePortUnsupported: 10.96.0.1:80/SCTP: SCTP is served only where endpoints have the same port, since its checksum covers it',
  ])
  state.tables.applySlice(slice('d/a', 'x', pods(2), [{ protocol: 'SCTP', port: 8080 }]))
  state.take(0)
  assert.deepEqual(told(state), [])
  state.tables.applyService(service('d/a', { ports: [{ protocol: 'SCTP', port: 8080 }], externalIPs: ['203.0.113.1'] }))
  state.take(0)
  assert.match(
    told(state).join(),
    /^d\/a ServicePortUnsupported: 203\.0\.113\.1:8080\/SCTP: clients outside reach SCTP only at nodes that have an endpoint/,
  )
})

test('tables of Maglev go to the oldest Services that wish for one', () => {
  const state = begin({ maglev: true, mostHashedSets: 2 })
  const maps = new ServiceMaps()
  const take = () => maps.apply(state.take(0))
  const hashed = () =>
    maps
      .lines()
      .filter(l => l.includes(' hashed '))
      .map(l => l.split(':')[0])
  const at = (name: string, ip: string, day: number, annotations = {}) =>
    service(name, { clusterIP: ip }, { created: `2026-01-0${day}`, annotations })
  state.tables.applyService(at('d/a', '10.96.0.1', 4))
  state.tables.applyService(at('d/b', '10.96.0.2', 3))
  state.tables.applySlice(slice('d/a', 'x', pods(2)))
  take()
  assert.deepEqual(hashed(), ['10.96.0.1', '10.96.0.2'])
  state.tables.applyService(at('d/c', '10.96.0.3', 2, { [algorithmAnnotation]: 'random' }))
  state.tables.applyService(at('d/d', '10.96.0.4', 1))
  take()
  assert.deepEqual(hashed(), ['10.96.0.2', '10.96.0.4'])
  assert.deepEqual(told(state), [
    'd/a ServiceMaglevRefused: Its tables of Maglev find no room beside those of older Services (2 in all): backends are chosen at random',
  ])
  assert.deepEqual(
    maps.lines().filter(l => l.startsWith('10.96.0.1')),
    ['10.96.0.1:80/TCP inside -> [10.0.0.1:8080/TCP 10.0.0.2:8080/TCP]'],
  )
  state.tables.deleteService(at('d/b', '10.96.0.2', 3))
  take()
  assert.deepEqual(hashed(), ['10.96.0.1', '10.96.0.4'])
  maps.check()
})

test('a Service whose tables of Maglev do not fit keeps no younger one from its own', () => {
  const state = begin({ maglev: true, mostHashedSets: 2 })
  const ports = [80, 81, 82].map(port => ({ name: `p${port}`, port, protocol: 'TCP' }))
  state.tables.applyService(service('d/old', { ports }))
  state.tables.applyService(service('d/a', { clusterIP: '10.96.0.2' }, { created: '2026-01-02T00:00:00Z' }))
  state.take(0)
  assert.deepEqual(
    state.view().map(v => `${v.name} ${v.maglev}`),
    ['old false', 'a true'],
  )
  // One port fewer, and both fit no more: the older one has its two.
  state.tables.applyService(service('d/old', { ports: ports.slice(1) }))
  state.take(0)
  assert.deepEqual(
    state.view().map(v => `${v.name} ${v.maglev}`),
    ['old true', 'a false'],
  )
})

test('what can be asked for: health, and how each Service is served', () => {
  const state = begin()
  const spec = { type: 'LoadBalancer', externalTrafficPolicy: 'Local', healthCheckNodePort: 32000, ports: [{ port: 80, nodePort: 30080 }] }
  state.tables.applyService(service('d/a', spec))
  state.tables.applySlice(slice('d/a', 'x', { '10.0.0.1': {}, '10.0.0.2': { node: here.name } }))
  state.take(0)
  assert.deepEqual(state.healthChecks(), [{ namespace: 'd', name: 'a', port: 32000, localEndpoints: 1 }])
  const [view] = state.view()
  const [one, two] = [
    { id: 1, address: '10.0.0.1:8080/TCP' },
    { id: 2, address: '10.0.0.2:8080/TCP' },
  ]
  const inside = { local: false, keepSource: false, backends: [one, two] }
  assert.deepEqual(view, {
    namespace: 'd',
    name: 'a',
    affinitySeconds: 0,
    maglev: false,
    frontends: [
      { address: '10.96.0.1:80/TCP', kind: 'ClusterIP', served: true, sourceRanges: [], inside },
      {
        address: '192.168.0.10:30080/TCP',
        kind: 'NodePort',
        served: true,
        sourceRanges: [],
        inside,
        outside: { local: true, keepSource: true, backends: [two] },
      },
    ],
  })
})
