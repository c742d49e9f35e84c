// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { delays, poll } from '#lib/backoff.ts'
import { realClock } from '#lib/clock.ts'

test('first the initial delay, then growing waits up to the cap', () => {
  const b = { initialDelay: 1, duration: 2, factor: 2, jitter: 0, steps: 5, cap: 6 }
  assert.deepEqual([...delays(b, () => 0.5)], [1, 2, 4, 6, 6])
})

test('jitter only lengthens', () => {
  const b = { initialDelay: 0, duration: 10, factor: 1, jitter: 0.5, steps: 3 }
  assert.deepEqual([...delays(b, () => 1)], [0, 15, 15])
})

test('poll stops at the first answer, or after its steps', async () => {
  const b = { initialDelay: 0, duration: 1, factor: 1, jitter: 0, steps: 4 }
  let calls = 0
  assert.equal(await poll(realClock, b, async () => (++calls === 3 ? 'here' : undefined)), 'here')
  assert.equal(calls, 3)
  calls = 0
  assert.equal(await poll(realClock, b, async () => void calls++), undefined)
  assert.equal(calls, 4)
})
