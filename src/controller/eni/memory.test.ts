// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { defaultWindows, Memory } from '#controller/eni/memory.ts'

test('pruning forgets births that are not in use, and what is older than every window; nothing else', () => {
  const memory = new Memory(0, defaultWindows)
  memory.born('old-mark')
  memory.born('mark')
  memory.prune(10, key => key === 'mark')
  assert.equal(memory.certain('mark', 10), true)
  assert.equal(memory.certain('old-mark', 10), false, 'it counts as touched at the start again')
  memory.doubted('mark', 20)
  memory.removed('eni-1', 20)
  const { lag, late } = defaultWindows
  memory.prune(20 + late - 1, () => true)
  assert.equal(memory.certain('mark', 20 + late - 1), false)
  assert.equal(memory.presenceProven('eni-1', 20 + lag - 1), false)
  memory.prune(1_000_000, () => true)
  assert.equal(memory.certain('mark', 1_000_000), true)
})

test('a detachment is proven by a Describe that is later than the one that showed the ENI attached', () => {
  const memory = new Memory(0, defaultWindows)
  memory.attached('eni-1', 100_000)
  assert.equal(memory.detachmentProven('eni-1', 100_000 + defaultWindows.lag - 1), false)
  assert.equal(memory.detachmentProven('eni-1', 100_000 + defaultWindows.lag), true)
})
