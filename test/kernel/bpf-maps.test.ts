// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { after, before, beforeEach, test } from 'node:test'
import { valueSizeOf } from '#kernel/bpf/entries.ts'
import type { MapName } from '#kernel/bpf/maps.ts'
import { addressKey, endpoint, endpointKey, hostSet, prefixKey, slot, slotKey } from '#kernel/bpf/structs.ts'
import type { MapDel, MapPut } from '#kernel/op.ts'
import { makePinnedMaps } from '#kernel/pinned-maps.ts'
import type { Kernel, MapPage } from '#kernel/port.ts'
import { parseIp } from '#net/ip.ts'
import { applied, BpfLab, costOf, look, refusedBy, sizes } from './bpf-lab.ts'

let lab: BpfLab
let kernel: Kernel
before(async () => {
  lab = new BpfLab()
  kernel = await lab.kernel()
})
after(() => lab.close())
beforeEach(async () => {
  await kernel.unloadPrograms()
  await kernel.loadPrograms(sizes)
})

const put = (map: MapName, key: Buffer, value: Buffer): MapPut => ({
  op: 'map-put',
  ns: 'host',
  map,
  key: key.toString('hex'),
  value: value.toString('hex'),
})
const del = (map: MapName, key: Buffer): MapDel => ({ op: 'map-del', ns: 'host', map, key: key.toString('hex') })
const putEndpoint = (ifIndex: number, mtu = 1500) => put('endpoints', endpointKey.encode({ ifIndex }), endpoint.encode({ mtu }))
const delEndpoint = (ifIndex: number) => del('endpoints', endpointKey.encode({ ifIndex }))
const numbers = async () => (await kernel.mapEntries('endpoints')).map(e => endpointKey.decode(e.key).ifIndex).sort((a, b) => a - b)

test('entries are put, replaced, looked at, dumped and taken away; what is absent is absent', async () => {
  await applied(kernel, [putEndpoint(7), putEndpoint(9), putEndpoint(7, 1400), delEndpoint(9), delEndpoint(9)])
  const key = endpointKey.encode({ ifIndex: 7 }).toString('hex')
  const { entries } = await look(kernel, {
    entries: [
      { map: 'endpoints', key },
      { map: 'endpoints', key: '08000000' },
    ],
  })
  assert.deepEqual(entries, [{ map: 'endpoints', key, value: endpoint.encode({ mtu: 1400 }).toString('hex') }])
  const [only, ...others] = await kernel.mapEntries('endpoints')
  assert.ok(only)
  assert.deepEqual([endpointKey.decode(only.key).ifIndex, endpoint.decode(only.value).mtu, others.length], [7, 1400, 0])
})

test('sizes that a map does not have are refused before the kernel reads them', async () => {
  const op = putEndpoint(1)
  for (const wrong of [{ key: '010000' }, { key: '0100000000' }, { value: '00' }, { value: `${op.value}00` }, { key: 'notahex0' }]) {
    assert.match(await refusedBy(kernel, { ...op, ...wrong }), /EINVAL, a (key|value) of the map endpoints has (4|96) bytes/)
  }
  assert.deepEqual(await numbers(), [])
})

test('a full map is a refusal', async () => {
  await kernel.unloadPrograms()
  await kernel.loadPrograms({ ...sizes, endpoints: 2 })
  await applied(kernel, [putEndpoint(1), putEndpoint(2)])
  assert.match(await refusedBy(kernel, putEndpoint(3)), /E2BIG/)
})

test('longest prefixes and the values of each CPU are dumped too', async () => {
  const key = prefixKey.encode({ prefixLength: 112, ip: parseIp('169.254.0.0') })
  await applied(kernel, [put('host_set', key, hostSet.encode({ why: 2 }))])
  const [local, ...others] = await kernel.mapEntries('host_set')
  assert.ok(local)
  assert.deepEqual(prefixKey.decode(local.key), { prefixLength: 112, ip: '169.254.0.0' })
  assert.deepEqual([hostSet.decode(local.value), others], [{ why: 2 }, []])
  const drops = await kernel.mapEntries('drops')
  assert.deepEqual([drops.length, drops[0]?.value.length], [64, valueSizeOf('drops')])
  assert.equal(valueSizeOf('drops') % 16, 0)
})

test('a map of several slices is read and counted whole, one without batches too', async () => {
  await kernel.unloadPrograms()
  await kernel.loadPrograms({ ...sizes, backend_slots: 65_536 })
  const slotNumber = (n: number) => slotKey.encode({ set: 1, slot: n })
  await applied(
    kernel,
    Array.from({ length: 40_000 }, (_, n) => put('backend_slots', slotNumber(n), slot.encode({ backend: n }))),
  )
  const found = await kernel.mapEntries('backend_slots')
  assert.ok(found.every(e => slotKey.decode(e.key).slot === slot.decode(e.value).backend))
  assert.equal(new Set(found.map(e => slotKey.decode(e.key).slot)).size, 40_000)
  assert.deepEqual([found.length, await kernel.countEntries('backend_slots')], [40_000, { used: 40_000, room: 65_536 }])
  const prefix = (n: number) => prefixKey.encode({ prefixLength: 128, ip: parseIp(`10.0.${n >> 8}.${n & 255}`) })
  await applied(
    kernel,
    Array.from({ length: 300 }, (_, n) => put('host_set', prefix(n), hostSet.encode({ why: n }))),
  )
  const prefixes = await kernel.mapEntries('host_set')
  assert.deepEqual([prefixes.length, await kernel.countEntries('host_set')], [300, { used: 300, room: 1024 }])
  assert.ok(prefixes.every(e => prefix(hostSet.decode(e.value).why).equals(e.key)))
  await kernel.unloadPrograms()
  assert.deepEqual([await kernel.mapEntries('host_set'), await kernel.countEntries('host_set')], [[], { used: 0, room: 0 }])
})

test('a large map is read page by page', async () => {
  const pinned = makePinnedMaps(lab.pins)
  const numbersOf = (pages: readonly MapPage[]) => pages.flatMap(p => p.entries.map(e => Buffer.from(e.key, 'hex').readUInt32LE(0)))
  const all = async () => {
    const pages = [await pinned.mapPage('endpoints', undefined)]
    for (let next = pages[0]?.next; next !== undefined; next = pages.at(-1)?.next) pages.push(await pinned.mapPage('endpoints', next))
    return pages
  }
  const wanted = Array.from({ length: 4000 }, (_, n) => n + 1)
  await applied(
    kernel,
    wanted.map(n => putEndpoint(n)),
  )
  const pages = await all()
  assert.ok(pages.length > 1)
  assert.deepEqual(
    numbersOf(pages).sort((a, b) => a - b),
    wanted,
  )
  const value = endpoint.encode({ mtu: 1500 }).toString('hex')
  assert.ok(pages.every(p => p.entries.every(e => e.value === value)))
  await kernel.unloadPrograms()
  assert.deepEqual(await pinned.mapPage('endpoints', undefined), { entries: [], next: undefined })
  pinned.close()
})

test('without a thread: entries are put, looked at and taken away, and the first refusal ends a list', async () => {
  const pinned = makePinnedMaps(lab.pins)
  const [first, second, third] = [putEndpoint(1), putEndpoint(2), putEndpoint(3)]
  assert.deepEqual(await pinned.apply([first, second, delEndpoint(2), delEndpoint(2)]), {
    done: [first, second, delEndpoint(2), delEndpoint(2)],
  })
  assert.deepEqual(await pinned.lookUp([first, second]), [{ map: 'endpoints', key: first.key, value: first.value }])
  const { done, failed } = await pinned.apply([second, { ...third, key: '03' }, third])
  assert.deepEqual([done, failed?.errno, failed?.op], [[second], 'EINVAL', { ...third, key: '03' }])
  assert.deepEqual(await numbers(), [1, 2])
  await kernel.unloadPrograms()
  assert.deepEqual(await pinned.lookUp([first]), [])
  assert.equal((await pinned.apply([first])).failed?.errno, 'ENOENT')
  await kernel.loadPrograms(sizes)
  assert.equal((await pinned.apply([third])).failed, undefined)
  assert.deepEqual(await numbers(), [3])
  pinned.close()
})

test('maps that were unpinned and made anew are noticed', async () => {
  await applied(kernel, [putEndpoint(1)])
  const other = await lab.kernel()
  await other.unloadPrograms()
  assert.deepEqual(await numbers(), [])
  assert.match(await refusedBy(kernel, putEndpoint(2)), /ENOENT.*not loaded/)
  await applied(kernel, [delEndpoint(1)])
  await other.loadPrograms(sizes)
  assert.deepEqual(await numbers(), [])
  await applied(kernel, [putEndpoint(3)])
  assert.deepEqual(await numbers(), [3])
})

test('a dump of a map that changes all the time ends, and has everything that stays', async () => {
  const [staying, changing] = [Array.from({ length: 200 }, (_, i) => 2 * i), Array.from({ length: 200 }, (_, i) => 2 * i + 1)]
  await applied(
    kernel,
    staying.map(n => putEndpoint(n)),
  )
  let isOver = false
  const churn = (async () => {
    while (!isOver)
      await applied(
        kernel,
        changing.flatMap(n => [putEndpoint(n), delEndpoint(n)]),
      )
  })()
  for (let i = 0; i < 30; i++) {
    const found = await numbers()
    assert.equal(new Set(found).size, found.length)
    assert.deepEqual(
      found.filter(n => n % 2 === 0),
      staying,
    )
  }
  isOver = true
  await churn
})

test('ten thousand entries put and taken away take no descriptor', async t => {
  const address = (n: number) => addressKey.encode({ ip: parseIp(`10.0.${n >> 8}.${n & 255}`) })
  const { fds, mb, ms } = await costOf(async () => {
    for (let i = 0; i < 10_000; i++) {
      await applied(kernel, [put('addresses', address(i % 1000), Buffer.alloc(16, 1)), del('addresses', address(i % 1000))])
    }
  })
  assert.ok(fds <= 0, `${fds} descriptors`)
  t.diagnostic(`an apply that puts and deletes one entry takes ${(ms / 10).toFixed(0)} µs; resident memory ${mb.toFixed(2)} MB more`)
})
