// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { nextPolicies, policiesChangedOp, policyEntry } from '#kernel/policies.ts'

test('each change of a policy has another number, and none is 0', () => {
  assert.equal(nextPolicies(0n), 1n)
  assert.equal(nextPolicies(2n ** 32n - 2n), 2n ** 32n - 1n)
  assert.equal(nextPolicies(2n ** 32n - 1n), 1n)
})

test('the number goes on from the one that is there', () => {
  const seen = { entries: [{ ...policyEntry, value: '0700000000000000' }] }
  assert.deepEqual(policiesChangedOp(seen), { op: 'map-put', ns: 'host', ...policyEntry, value: '0800000000000000' })
  assert.deepEqual(policiesChangedOp({ entries: [] }), { op: 'map-put', ns: 'host', ...policyEntry, value: '0100000000000000' })
})
