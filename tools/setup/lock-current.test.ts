// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { missing } from './lock-current.ts'

const lock = { '': {}, 'node_modules/a': { version: '1.0.0', integrity: 'x' }, 'node_modules/arm': { version: '1.0.0', optional: true } }

test('a package of another platform may be absent, any other may not', () => {
  assert.deepEqual(missing(lock, { 'node_modules/a': { version: '1.0.0', integrity: 'x' } }), [])
  assert.deepEqual(missing(lock, {}), ['node_modules/a'])
})

test('a package of another version or content counts as missing', () => {
  assert.deepEqual(missing(lock, { 'node_modules/a': { version: '1.0.1', integrity: 'x' } }), ['node_modules/a'])
  assert.deepEqual(missing(lock, { 'node_modules/a': { version: '1.0.0', integrity: 'y' } }), ['node_modules/a'])
  assert.deepEqual(missing(lock, { ...lock, 'node_modules/arm': { version: '2.0.0', optional: true } }), ['node_modules/arm'])
})
