// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { macFromBytes, macToBytes, parseMac } from '#net/mac.ts'

test('canonical text and bytes', () => {
  assert.equal(parseMac('EE:FF:FF:FF:FF:FF'), 'ee:ff:ff:ff:ff:ff')
  assert.equal(macFromBytes(macToBytes(parseMac('00:16:3e:0a:0b:0c'))), '00:16:3e:0a:0b:0c')
})

test('refuses what is no MAC', () => {
  for (const text of ['', '00:16:3e:0a:0b', '00-16-3e-0a-0b-0c', '00:16:3e:0a:0b:0g', '00:16:3e:0a:0b:0c:0d'])
    assert.throws(() => parseMac(text), /not a MAC/)
})
