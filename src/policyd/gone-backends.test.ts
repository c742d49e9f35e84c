// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { maps } from '#kernel/bpf/maps.ts'
import { backendState } from '#kernel/bpf/words.ts'
import { endpointSlices } from '#kube/reflect/endpoint-slice.ts'
import { services } from '#kube/reflect/service.ts'
import { type Logger, silent } from '#lib/log.ts'
import { parseIp, withPort } from '#net/ip.ts'
import { GoneBackends } from '#policyd/gone-backends.ts'
import { ServiceTables } from '#state/service-tables.ts'
import { PolicydWorld } from '../../test/support/policyd-world.ts'
import { type Endpoints, service, slice } from '../../test/support/service-objects.ts'
import { VirtualClock } from '../../test/support/virtual-clock.ts'

const ports = [
  { name: 'dns', protocol: 'UDP', port: 53 },
  { name: 'dns-tcp', protocol: 'TCP', port: 53 },
]
const value = maps.backends.value.encode({ ip: parseIp('10.0.0.1'), port: 53, protocol: 17, state: backendState.draining })
const leaving = { map: 'backends', key: '01000000', value: value.toString('hex') } as const
const both: Endpoints = { '10.0.0.1': {}, '10.0.0.2': {} }
const ended = { ready: false, serving: true, terminating: true }

/** A Service of both protocols; `cuts` is what terwayd was asked to cut. */
async function started(t: TestContext) {
  const world = new PolicydWorld()
  t.after(() => world.stop())
  const cuts: string[] = []
  world.cut = async gone => {
    cuts.push(gone.map(({ ip, port }) => withPort(ip, port)).join(' '))
    return undefined
  }
  const put = (endpoints: Endpoints) => world.model.put(endpointSlices, slice('d/dns', 'dns-1', endpoints, ports))
  world.model.put(services, service('d/dns', { ports }))
  put(both)
  const policyd = await world.start()
  assert.deepEqual(cuts.splice(0), [''], 'whether it can is asked at once')
  return { world, cuts, put, policyd }
}

test('a backend of UDP that is gone is cut, twice; one that goes away only when it serves no more', async t => {
  const { world, cuts, put } = await started(t)
  put({ ...both, '10.0.0.1': ended })
  await world.clock.advance(5000)
  assert.deepEqual(cuts, [], 'it still answers')
  put({ ...both, '10.0.0.1': { ...ended, serving: false } })
  await world.clock.advance(5000)
  assert.deepEqual(cuts.splice(0), ['10.0.0.1:53', '10.0.0.1:53'])
  put({ '10.0.0.2': {} })
  await world.clock.advance(5000)
  assert.deepEqual(cuts, [], 'it was cut already')
  put({})
  await world.clock.advance(500)
  assert.deepEqual(cuts, ['10.0.0.2:53'])
  put({ '10.0.0.2': {} })
  await world.clock.advance(5000)
  assert.deepEqual(cuts, ['10.0.0.2:53'], 'it is back')
})

test('the maps come first: whoever connects anew finds another backend', async t => {
  const { world, cuts, put } = await started(t)
  world.kernel.refuse = op => ('map' in op && op.map === 'backend_sets' ? 'EPERM' : undefined)
  put({ '10.0.0.2': {} })
  await world.clock.advance(5000)
  assert.deepEqual(cuts, [])
  world.kernel.refuse = () => undefined
  await world.clock.advance(60_000)
  assert.deepEqual(cuts, ['10.0.0.1:53', '10.0.0.1:53'])
})

test('what went while nobody looked is cut at the start', async t => {
  const { world, put } = await started(t)
  await world.stop()
  put({ '10.0.0.2': {} })
  const cuts: string[] = []
  world.cut = async gone => {
    cuts.push(gone.map(({ ip }) => ip).join(' '))
    return undefined
  }
  await world.start()
  await world.clock.advance(5000)
  assert.deepEqual(
    cuts.filter(c => c !== ''),
    ['10.0.0.1', '10.0.0.1'],
  )
})

test('while terwayd is away it is asked again; where the kernel cannot, nobody is asked any more, and it is said', async t => {
  const { world, put, policyd } = await started(t)
  let asked = 0
  world.cut = () => {
    asked++
    return Promise.reject(new Error('nobody listens'))
  }
  put({ '10.0.0.2': {} })
  await world.clock.advance(12_000)
  assert.equal(asked, 3)
  assert.deepEqual(policyd.notes(), [])
  world.cut = async () => {
    asked++
    return 'the kernel is built without it'
  }
  await world.clock.advance(5000)
  put({})
  await world.clock.advance(60_000)
  assert.equal(asked, 4)
  assert.match(policyd.notes()[0] ?? '', /keep a backend that is gone: the kernel is built without it$/)
})

test('while a backend that leaves still serves, endpoints are walked through once a second, however much changes', async () => {
  const clock = new VirtualClock()
  const tables = new ServiceTables()
  tables.applyService(service('d/dns', { ports }))
  tables.applySlice(slice('d/dns', 'dns-1', { '10.0.0.1': ended }, ports))
  let walks = 0
  const counted = {
    get services() {
      walks++
      return tables.services
    },
    slicesOf: (name: string) => tables.slicesOf(name),
  }
  const cuts: string[] = []
  const gone = new GoneBackends({ clock, log: silent, cutSockets: async some => void cuts.push(some.map(t => t.ip).join(' ')) })
  gone.hear([leaving])
  for (let i = 0; i < 100; i++) {
    gone.look(counted)
    await clock.advance(30)
  }
  assert.deepEqual([walks, cuts], [4, []])
  tables.applySlice(slice('d/dns', 'dns-1', {}, ports))
  gone.look(counted)
  await clock.advance(1000)
  assert.deepEqual(cuts, ['10.0.0.1'])
  gone.stop()
})

test('that terwayd is away is said once, each time', async () => {
  const clock = new VirtualClock()
  const told: string[] = []
  const log = { ...silent, warn: (_: object, text: string) => void told.push(text) } as unknown as Logger
  let isAway = true
  const gone = new GoneBackends({
    clock,
    log,
    cutSockets: () => (isAway ? Promise.reject(new Error('nobody listens')) : Promise.resolve(undefined)),
  })
  const tables = new ServiceTables()
  for (let n = 1; n <= 2; n++) {
    isAway = true
    gone.hear([leaving])
    gone.look(tables)
    await clock.advance(20_000)
    isAway = false
    await clock.advance(20_000)
    assert.equal(told.length, n)
  }
  gone.stop()
})
