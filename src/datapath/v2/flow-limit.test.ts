// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { limitEntry, limitIn, limitOps } from '#datapath/v2/flow-limit.ts'

test('a limit is said once, and taken back', () => {
  const says = (value: string) => ({ entries: [{ ...limitEntry, value }] })
  const [none, thousand] = [says('0000000000000000'), says('e803000000000000')]
  assert.deepEqual([limitIn(none), limitIn(thousand)], [0, 1000])
  assert.deepEqual([limitOps(undefined, none), limitOps(1000, thousand)], [[], []])
  const op = { op: 'map-put', ns: 'host', ...limitEntry }
  assert.deepEqual(limitOps(1000, none), [{ ...op, value: 'e803000000000000' }])
  assert.deepEqual(limitOps(undefined, thousand), [{ ...op, value: '0000000000000000' }])
})
