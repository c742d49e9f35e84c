// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ageThatFits, countsFor } from '#kernel/bpf/copy.ts'
import { maps } from '#kernel/bpf/maps.ts'
import { unitsPerSecond } from '#kernel/bpf/seen.ts'
import { flowState } from '#kernel/bpf/words.ts'

test('a table that is too small takes the youngest', () => {
  const ages = Uint32Array.of(70, 5, 900, 40, 4_000_000_000)
  assert.equal(ageThatFits(ages, 3.5), 70)
  assert.equal(ageThatFits(ages, 1), 5)
  assert.ok(ageThatFits(ages, 5) > 4_000_000_000)
})

test('an entry counts as long as the programs believe it', () => {
  const key = (protocol: number) => maps.flows.key.encode({ protocol })
  const flow = (state: number) => maps.flows.value.encode({ seen: 0xffffffff, state })
  for (const [protocol, state, seconds] of [
    [6, flowState.open, 21600],
    [17, flowState.open, 180],
    [6, flowState.new, 60],
    [6, flowState.closing, 30],
    [17, flowState.denied, 60],
    [6, 0, 0],
  ] as const)
    assert.equal(countsFor('flows', key(protocol), flow(state)) / unitsPerSecond, seconds)
  const backend = maps.node_flows.value.encode({ state: flowState.closing })
  assert.equal(countsFor('node_flows', key(6), backend) / unitsPerSecond, 30)
  const note = (protocol: number) => maps.host_notes.key.encode({ protocol })
  assert.equal(countsFor('host_notes', note(6), maps.host_notes.value.encode({})) / unitsPerSecond, 21600)
  assert.equal(countsFor('host_notes', note(17), maps.host_notes.value.encode({})) / unitsPerSecond, 180)
})
