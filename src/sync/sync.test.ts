// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { maps } from '#kernel/bpf/maps.ts'
import { backendState } from '#kernel/bpf/words.ts'
import type { EntryOp } from '#kernel/op.ts'
import { parseIp } from '#net/ip.ts'
import { type Change, type ServiceMap, serviceMaps } from '#state/entry.ts'
import type { Damage } from '#sync/report.ts'
import { defaultSyncOptions, Sync } from '#sync/sync.ts'
import { MapsModel } from '../../test/support/maps-model.ts'
import { VirtualClock } from '../../test/support/virtual-clock.ts'

const hex = (bytes: Buffer) => bytes.toString('hex')
const { services, frontends, backend_sets, backend_slots, backends } = maps

/** A Service with its own set, frontend and backends, all numbered from its own number. */
function service(n: number, backendCount = 2): readonly Change[] {
  const ip = parseIp(`172.21.0.${n}`)
  const ids = Array.from({ length: backendCount }, (_, i) => n * 10 + i)
  return [
    {
      map: 'services',
      key: hex(services.key.encode({ ip, port: 80, protocol: 6, scope: 1 })),
      value: hex(services.value.encode({ set: n, frontend: n })),
    },
    {
      map: 'frontends',
      key: hex(frontends.key.encode({ frontend: n })),
      value: hex(frontends.value.encode({ ip, port: 80, protocol: 6 })),
    },
    { map: 'backend_sets', key: hex(backend_sets.key.encode({ set: n })), value: hex(backend_sets.value.encode({ count: backendCount })) },
    ...ids.flatMap((id, slot): Change[] => [
      {
        map: 'backend_slots',
        key: hex(backend_slots.key.encode({ set: n, slot })),
        value: hex(backend_slots.value.encode({ backend: id })),
      },
      {
        map: 'backends',
        key: hex(backends.key.encode({ backend: id })),
        value: hex(backends.value.encode({ ip: parseIp(`10.0.0.${id}`), port: 80, protocol: 6, state: backendState.active })),
      },
    ]),
  ]
}
const gone = (changes: readonly Change[]) => changes.map(c => ({ ...c, value: undefined }))

/** One sync over a kernel in memory and a clock that stands still; `told` is what it reported. */
function world(kernel = new MapsModel()) {
  const clock = new VirtualClock()
  const told: (string | readonly [ServiceMap, Damage])[] = []
  const report = {
    written: (entries: number) => void told.push(`written ${entries}`),
    refused: (map: ServiceMap) => void told.push(`refused ${map}`),
    damaged: (map: ServiceMap, _: string, damage: Damage) => void told.push([map, damage]),
    failed: () => void told.push('failed'),
    renewed: () => void told.push('renewed'),
  }
  const sync = new Sync({ kernel, clock, report })
  const want = (changes: readonly Change[]) => sync.want(changes, clock.now())
  return { kernel, clock, told, sync, want }
}

async function started(changes: readonly Change[], kernel = new MapsModel()) {
  kernel.pin()
  const w = world(kernel)
  await w.sync.restore()
  w.sync.begin(changes)
  await w.clock.advance(0)
  return w
}

/** The maps are these entries and no others. */
function holds(kernel: MapsModel, changes: readonly Change[]): void {
  for (const map of serviceMaps) {
    const wanted = changes.flatMap(c => (c.map === map && c.value !== undefined ? [[c.key, c.value]] : []))
    assert.deepEqual([...kernel.entries(map)].toSorted(), wanted.toSorted(), map)
  }
}

/** Nobody finds a set, frontend, slot or backend missing: to be asked at any moment. */
function assertWhole(kernel: MapsModel): void {
  for (const value of kernel.entries('services').values()) {
    const { set, frontend } = services.value.decode(Buffer.from(value, 'hex'))
    assert.ok(kernel.entries('frontends').has(hex(frontends.key.encode({ frontend }))), `frontend ${frontend}`)
    const found = kernel.entries('backend_sets').get(hex(backend_sets.key.encode({ set })))
    assert.ok(found, `set ${set}`)
    for (let i = 0; i < backend_sets.value.decode(Buffer.from(found, 'hex')).count; i++) {
      const slot = kernel.entries('backend_slots').get(hex(backend_slots.key.encode({ set, slot: i })))
      assert.ok(slot, `slot ${i} of ${set}`)
      assert.ok(kernel.entries('backends').has(slot), `backend of slot ${i} of ${set}`)
    }
  }
}

const syncedWord = (kernel: MapsModel) => BigInt(`0x${kernel.entries('service_states').get('00000000')}`) !== 0n

test('waits for maps, writes everything, and says so last', async () => {
  const { kernel, clock, told, sync } = world()
  const restored = sync.restore()
  await clock.advance(5000)
  assert.equal(sync.status().pinned, false)
  kernel.pin()
  await clock.advance(1000)
  await restored
  assert.equal(syncedWord(kernel), false)
  const wanted = [1, 2, 3].flatMap(n => service(n))
  kernel.check = () => assertWhole(kernel)
  sync.begin(wanted)
  await clock.advance(0)
  holds(kernel, wanted)
  assert.equal(syncedWord(kernel), true)
  assert.deepEqual(kernel.done.at(-1), { op: 'map-put', ns: 'host', map: 'service_states', key: '00000000', value: '0100000000000000' })
  assert.deepEqual(told, [`written ${wanted.length}`])
  assert.deepEqual([sync.status().synced, sync.status().pending, sync.status().entries.services], [true, 0, 3])
  await sync.stop()
})

test('a restart with the same Services changes nothing, and with others only what differs', async () => {
  const before = [...service(1), ...service(2)]
  const { kernel, sync } = await started(before)
  await sync.stop()
  kernel.done.length = 0
  const same = world(kernel)
  await same.sync.restore()
  same.sync.begin(before)
  await same.clock.advance(0)
  assert.deepEqual(kernel.done, [])
  await same.sync.stop()
  const other = world(kernel)
  await other.sync.restore()
  kernel.check = () => assertWhole(kernel)
  other.sync.begin([...service(2), ...service(3)])
  await other.clock.advance(0)
  holds(kernel, [...service(2), ...service(3)])
  assert.equal(kernel.done.length, service(1).length + service(3).length)
  await other.sync.stop()
})

test('one change is one change: new before old, at no moment is anything missing', async () => {
  const { kernel, clock, sync, want } = await started(service(1, 3))
  kernel.check = () => assertWhole(kernel)
  kernel.done.length = 0
  want([...service(1, 2), ...gone(service(1, 3).filter(c => !service(1, 2).some(d => d.map === c.map && d.key === c.key)))])
  await clock.advance(0)
  holds(kernel, service(1, 2))
  assert.deepEqual(
    kernel.done.map(op => [op.op, 'map' in op && op.map]),
    [
      ['map-put', 'backend_sets'],
      ['map-del', 'backend_slots'],
      ['map-del', 'backends'],
    ],
  )
  await sync.stop()
})

test('what is refused holds up what points at it and nothing else, and is tried again', async () => {
  const { kernel, clock, told, sync, want } = await started(service(1))
  let bad = true
  const of2 = service(2).find(c => c.map === 'backends')
  kernel.refuse = op => (bad && 'key' in op && op.key === of2?.key ? 'EPERM' : undefined)
  kernel.check = () => assertWhole(kernel)
  want([...service(2), ...service(3)])
  await clock.advance(0)
  assert.equal(kernel.entries('services').size, 2)
  assert.deepEqual(told.slice(1), ['refused backends'])
  assert.match(sync.status().lastError ?? '', /EPERM/)
  await clock.advance(60_000)
  assert.ok(told.filter(t => t === 'refused backends').length > 3)
  bad = false
  await clock.advance(40_000)
  holds(
    kernel,
    [1, 2, 3].flatMap(n => service(n)),
  )
  assert.equal(sync.status().lastError, undefined)
  await sync.stop()
})

test('a full map: room is made by what goes, and the node is ready all the same', async () => {
  const kernel = new MapsModel()
  kernel.limits.backends = 4
  const { clock, sync, want } = await started(
    [1, 2, 3].flatMap(n => service(n)),
    kernel,
  )
  assert.equal(kernel.entries('services').size, 2)
  assert.ok(syncedWord(kernel))
  assert.deepEqual([sync.status().pendingSince, sync.status().pending > 0], [undefined, true])
  const written = [1, 2, 3].filter(n => kernel.entries('backends').has(hex(backends.key.encode({ backend: n * 10 }))))
  want(gone(service(written[0] ?? 0)))
  await clock.advance(60_000)
  holds(
    kernel,
    [1, 2, 3].filter(n => n !== written[0]).flatMap(n => service(n)),
  )
  // A rollout in a full map: the new backends find room only when the old ones go.
  const left = [1, 2, 3].filter(n => n !== written[0])[0] ?? 0
  want([...service(4), ...gone(service(left))])
  await clock.advance(60_000)
  assert.ok(kernel.entries('backends').has(hex(backends.key.encode({ backend: 40 }))))
  await sync.stop()
})

test('maps that terwayd made anew are written whole, also after they were away', async () => {
  const wanted = [1, 2].flatMap(n => service(n))
  const { kernel, clock, told, sync, want } = await started(wanted)
  kernel.pin()
  await clock.advance(1000)
  holds(kernel, wanted)
  assert.ok(syncedWord(kernel))
  kernel.unpin()
  want(service(3))
  await clock.advance(10_000)
  assert.equal(sync.status().pinned, false)
  kernel.pin()
  await clock.advance(1000)
  holds(kernel, [...wanted, ...service(3)])
  assert.ok(syncedWord(kernel))
  assert.equal(told.filter(t => t === 'renewed').length, 2)
  await sync.stop()
})

test('a look at the maps that fails says nothing of them', async () => {
  const wanted = service(1)
  const { kernel, clock, told, sync } = await started(wanted)
  const { lookUp } = kernel
  kernel.lookUp = () => Promise.reject(new Error('the kernel cannot be asked'))
  await clock.advance(3000)
  kernel.lookUp = lookUp
  kernel.done.length = 0
  await clock.advance(3000)
  assert.deepEqual([told.filter(t => t === 'failed').length, told.includes('renewed'), sync.status().synced], [3, false, true])
  assert.deepEqual(kernel.done, [])
  await sync.stop()
})

test('damage to any map is found within a minute, said, and put right', async () => {
  const wanted = [1, 2].flatMap(n => service(n))
  const { kernel, clock, told, sync } = await started(wanted)
  const damages: [ServiceMap, Damage][] = []
  for (const map of serviceMaps) {
    const [first, second] = kernel.entries(map).keys()
    if (first === undefined || second === undefined) continue
    const value = kernel.entries(map).get(second) ?? ''
    kernel.entries(map).delete(first)
    kernel.entries(map).set(second, `ff${value.slice(2)}`)
    kernel.entries(map).set(`ee${second.slice(2)}`, value)
    damages.push([map, 'changed'], [map, 'foreign'], [map, 'missing'])
  }
  await clock.advance(defaultSyncOptions.sweepInterval + 1000)
  holds(kernel, wanted)
  const found = told.filter(t => typeof t !== 'string')
  assert.deepEqual(found.toSorted(), damages.toSorted())
  kernel.done.length = 0
  await clock.advance(10 * defaultSyncOptions.sweepInterval)
  assert.deepEqual(kernel.done, [], 'a clean sweep writes nothing')
  await sync.stop()
})

test('a sweep asks the maps for those entries alone that it did not see', async () => {
  const wanted = [1, 2].flatMap(n => service(n))
  const { kernel, clock, sync } = await started(wanted)
  const { map, key } = wanted.find(c => c.map === 'backends') ?? assert.fail('no backend')
  kernel.entries(map).delete(key)
  const asked: string[] = []
  const { lookUp } = kernel
  kernel.lookUp = entries => {
    asked.push(...entries.flatMap(e => (e.map === 'service_states' ? [] : [`${e.map} ${e.key}`])))
    return lookUp.call(kernel, entries)
  }
  await clock.advance(defaultSyncOptions.sweepInterval + 1000)
  holds(kernel, wanted)
  assert.deepEqual(asked, [`${map} ${key}`])
  await sync.stop()
})

test('what is written while a map is read is no damage', async () => {
  const { kernel, clock, told, sync, want } = await started([...service(1), ...service(2)])
  const { mapPage, lookUp } = kernel
  let turn = 0
  /** The answer comes when something else has been written, at each read. */
  const late = async <T>(answer: T): Promise<T> => {
    want(turn++ % 2 === 0 ? [...gone(service(1)), ...service(3)] : [...gone(service(3)), ...service(1, 3)])
    while (sync.status().pending > 0) await Promise.resolve()
    return answer
  }
  kernel.mapPage = async (map, after) => late(await mapPage.call(kernel, map, after))
  kernel.lookUp = async asked => (asked[0]?.map === 'service_states' ? lookUp.call(kernel, asked) : late(await lookUp.call(kernel, asked)))
  await clock.advance(2 * defaultSyncOptions.sweepInterval)
  assert.ok(turn >= 12)
  assert.deepEqual(
    told.filter(t => typeof t !== 'string'),
    [],
  )
  await sync.stop()
})

test('killed between any two operations, the next one finishes', async () => {
  const [before, wanted] = [
    [...service(1, 3), ...service(2)],
    [...service(1, 2), ...service(3)],
  ]
  for (let after = 0; after < 25; after++) {
    const { kernel, sync, clock } = await started(before)
    kernel.check = () => assertWhole(kernel)
    let left = after
    kernel.refuse = (_: EntryOp) => (left-- > 0 ? undefined : 'die')
    sync.want(gone(before), clock.now())
    sync.want(wanted, clock.now())
    await clock.advance(0)
    await sync.stop()
    kernel.refuse = () => undefined
    const next = world(kernel)
    await next.sync.restore()
    next.sync.begin(wanted)
    await next.clock.advance(0)
    holds(kernel, wanted)
    await next.sync.stop()
  }
})

test('one call in ten fails: all is right in the end, and nothing is ever missing', async () => {
  const kernel = new MapsModel()
  const clock = new VirtualClock(7)
  kernel.refuse = () => (clock.random() < 0.1 ? 'EAGAIN' : undefined)
  kernel.check = () => assertWhole(kernel)
  const { sync, clock: time, want } = await started([], kernel)
  const present = new Set<number>()
  for (let step = 0; step < 200; step++) {
    const n = 1 + Math.floor(clock.random() * 9)
    const size = 1 + Math.floor(clock.random() * 4)
    present.add(n)
    const all = service(n, 5)
    const now = service(n, size)
    want([...gone(all.filter(c => !now.some(d => d.map === c.map && d.key === c.key))), ...now])
    await time.advance(step % 3 === 0 ? 0 : 100)
  }
  await time.advance(120_000)
  assert.equal(sync.status().pending, 0)
  assert.equal(kernel.entries('services').size, present.size)
  assertWhole(kernel)
  await sync.stop()
})
