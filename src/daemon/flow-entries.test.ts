// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { flowEntriesFor } from '#daemon/flow-entries.ts'

const gib = 2 ** 30

test('flows for nodes of several sizes', () => {
  const entries = [0.5, 1, 4, 16, 64, 512].map(n => flowEntriesFor({ node: n * gib, limit: n * gib }))
  assert.deepEqual(entries, [16_384, 16_384, 65_536, 262_144, 1_048_576, 2_097_152])
})

test('what the container may use bounds them', () => {
  assert.equal(flowEntriesFor({ node: 64 * gib, limit: 304 * 2 ** 20 }), 262_144)
  assert.equal(flowEntriesFor({ node: 64 * gib, limit: 1 }), 16_384)
})
