// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { secondsSince, seenNow } from '#kernel/bpf/seen.ts'

test('seconds between two moments, also over the end of the count', () => {
  assert.equal(Math.round(secondsSince(1000, 1000 + 95367)), 100)
  assert.equal(Math.round(secondsSince(2 ** 32 - 5000, 90367)), 100)
  assert.equal(secondsSince(1001, 1000), 0)
  assert.equal(secondsSince(seenNow(), seenNow()) < 60, true)
})
