// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ageThatFits, countsFor } from '#kernel/bpf/copy.ts'
import { unitsPerSecond } from '#kernel/bpf/seen.ts'
import { flowState } from '#kernel/bpf/words.ts'

test('a table that is too small takes the youngest', () => {
  const ages = Uint32Array.of(70, 5, 900, 40, 4_000_000_000)
  assert.equal(ageThatFits(ages, 3.5), 70)
  assert.equal(ageThatFits(ages, 1), 5)
  assert.ok(ageThatFits(ages, 5) > 4_000_000_000)
})

test('an entry counts as long as the programs believe it', () => {
  for (const [protocol, state, seconds] of [
    [6, flowState.open, 21600],
    [17, flowState.open, 180],
    [6, flowState.new, 60],
    [6, flowState.closing, 30],
    [17, flowState.denied, 60],
    [6, 0, 0],
  ] as const)
    assert.equal(countsFor(protocol, state) / unitsPerSecond, seconds)
})
