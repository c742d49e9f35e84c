// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Lines } from './lines.ts'

test('lines come out whole, however the stream is cut', () => {
  const text = 'one\n\ntwo ü\nthree\ncut off'
  const bytes = Buffer.from(text)
  for (let size = 1; size <= bytes.length; size++) {
    const lines = new Lines()
    const got: string[] = []
    for (let i = 0; i < bytes.length; i += size) lines.push(bytes.subarray(i, i + size), l => got.push(l))
    assert.deepEqual(got, ['one', 'two ü', 'three'], `chunks of ${size}`)
  }
})
