// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { maps } from '#kernel/bpf/maps.ts'
import { affinitySlot } from '#kernel/bpf/words.ts'
import type { RawEntry } from '#kernel/state.ts'
import { parseIp } from '#net/ip.ts'
import type { ServiceMap } from '#state/entry.ts'
import { target } from '#state/target.ts'
import { restoreIds } from './restore.ts'

const ip = parseIp('10.0.0.1')
const live: Partial<Record<ServiceMap, readonly RawEntry[]>> = {
  backends: [
    [7, { ip, port: 80, protocol: 6, state: 1 }] as const,
    [8, {}] as const,
    [0x7fffffff, { ip, port: 81, protocol: 6, state: 1 }] as const,
  ].map(([backend, value]) => ({ key: maps.backends.key.encode({ backend }), value: maps.backends.value.encode(value) })),
  backend_slots: [
    { set: 2, slot: 1, backend: 7 },
    { set: 2, slot: 0, backend: 8 },
    { set: 2, slot: affinitySlot + 7, backend: 7 },
    { set: 0xffffffff, slot: 0, backend: 7 },
  ].map(({ set, slot, backend }) => ({
    key: maps.backend_slots.key.encode({ set, slot }),
    value: maps.backend_slots.value.encode({ backend }),
  })),
  services: [
    {
      key: maps.services.key.encode({ ip, port: 80, protocol: 6, scope: 1 }),
      value: maps.services.value.encode({ set: 5, frontend: 3 }),
    },
  ],
}

test('numbers are read from the maps; entries without sense are left out, lest numbers run out', () => {
  const ids = restoreIds(map => live[map] ?? [])
  assert.deepEqual(ids.backends, [{ id: 7, target: target(ip, 80, 6) }])
  assert.deepEqual(ids.frontends, [])
  assert.deepEqual([...ids.sets], [[2, { id: 2, slots: [8, 7] }]])
  assert.deepEqual([...ids.setOf], [['00000000000000000000ffff0a00000100500601', 5]])
  assert.equal(ids.lastSet, 5)
})
