// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { withoutPorts, withPorts } from '#datapath/v2/reserved-ports.ts'

test('a range comes beside what others reserved', () => {
  assert.equal(withPorts('', [61000, 65535]), '61000-65535')
  assert.equal(withPorts('8080', [61000, 65535]), '8080,61000-65535')
  assert.equal(withPorts('60000-61500,8080', [61000, 65535]), '8080,60000-65535')
})

test('a range that is there already changes nothing, however it is written', () => {
  for (const text of ['61000-65535', '8080,61000-65535', '60000-62000,62001-65535']) assert.equal(withPorts(text, [61000, 65535]), text)
})

test('a range goes, and what others reserved stays', () => {
  assert.equal(withoutPorts('8080,61000-65535', [61000, 65535]), '8080')
  assert.equal(withoutPorts('60000-65535', [61000, 62000]), '60000-60999,62001-65535')
  assert.equal(withoutPorts('61000-65535', [61000, 65535]), '\n')
  assert.equal(withoutPorts('8080', [61000, 65535]), '8080')
  assert.equal(withoutPorts('', [61000, 65535]), '')
})
