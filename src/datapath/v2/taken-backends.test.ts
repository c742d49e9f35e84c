// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { backendsOf } from '#datapath/v2/taken-backends.ts'
import { type MapName, maps } from '#kernel/bpf/maps.ts'
import { affinitySlot, backendState, serviceScope } from '#kernel/bpf/words.ts'
import type { TranslatedFlow } from '#kernel/port.ts'
import type { RawEntry } from '#kernel/state.ts'
import { parseIp } from '#net/ip.ts'

const [udp, vip, otherVip, backend] = [17, parseIp('10.96.0.10'), parseIp('10.96.0.11'), parseIp('10.0.9.1')]
const entry = (map: MapName, key: object, value: object): RawEntry => ({
  key: maps[map].key.encode(key as never),
  value: maps[map].value.encode(value as never),
})
const serves = (ip: string, set: number, scope: number = serviceScope.inside) =>
  entry('services', { ip, port: 53, protocol: udp, scope }, { set, frontend: set })
const slot = (set: number, number: number, at = 0) => entry('backend_slots', { set, slot: at }, { backend: number })
const isAt = (number: number, port = 5353, state: number = backendState.active) =>
  entry('backends', { backend: number }, { ip: backend, port, protocol: udp, state })

const flow = (to: string, port = 53, from = 5353): TranslatedFlow => ({
  protocol: udp,
  original: { source: parseIp('10.0.1.1'), sourcePort: 4000, destination: parseIp(to), destinationPort: port },
  reply: { source: backend, sourcePort: from, destination: parseIp('10.0.1.1'), destinationPort: 4000 },
})

test('the backend is the one with this address that the Service has itself', () => {
  const of = backendsOf({
    services: [serves(vip, 1), serves(otherVip, 2)],
    backend_slots: [slot(1, 7), slot(2, 8), slot(2, 9, affinitySlot + 9)],
    backends: [isAt(9), isAt(8), isAt(7)],
  })
  assert.deepEqual([of(flow(vip)), of(flow(otherVip))], [7, 8])
})

test('one that the Service has no more goes on while it is there for others, and is gone when it drains or is not known', () => {
  const services = [serves(vip, 1), serves(otherVip, 2)]
  const of = backendsOf({ services, backend_slots: [slot(2, 8)], backends: [isAt(8)] })
  assert.deepEqual([of(flow(vip)), of(flow(otherVip)), of(flow(otherVip, 53, 5354))], [8, 8, 'gone'])
  const draining = backendsOf({ services, backend_slots: [], backends: [isAt(8, 5353, backendState.draining)] })
  assert.equal(draining(flow(vip)), 'gone')
})

test('of what no Service has for pods nothing is known', () => {
  const of = backendsOf({ services: [serves(vip, 1, serviceScope.outside)], backend_slots: [slot(1, 7)], backends: [isAt(7)] })
  assert.deepEqual([of(flow(vip)), of(flow(vip, 54))], [undefined, undefined])
})
