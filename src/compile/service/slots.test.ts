// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { nextSlots } from './slots.ts'

const table: readonly (readonly [string, readonly number[], readonly number[], readonly number[]])[] = [
  ['nobody', [], [], []],
  ['the first ones', [], [1, 2], [1, 2]],
  ['one more comes last', [1, 2], [2, 1, 3], [1, 2, 3]],
  ['one goes: the last one moves', [1, 2, 3, 4], [1, 3, 4], [1, 4, 3]],
  ['the last one goes', [1, 2, 3], [1, 2], [1, 2]],
  ['one for another: it takes the place', [1, 2, 3], [1, 3, 9], [1, 9, 3]],
  ['all of them', [1, 2, 3], [7, 8], [7, 8]],
  ['several go', [1, 2, 3, 4, 5], [4], [4]],
  ['the last ones go with the first', [1, 2, 3, 4], [2, 3], [3, 2]],
  ['everybody goes', [1, 2], [], []],
  ['a table becomes slots', [1, 2, 1, 2, 1], [1, 2], [1, 2]],
]

for (const [name, before, members, after] of table)
  test(`slots: ${name}`, () => assert.deepEqual(nextSlots(before, new Set(members)), after))

test('slots: as many as a map has room for', () => {
  const all = new Set(Array.from({ length: 200_000 }, (_, i) => i))
  assert.equal(nextSlots([], all).length, all.size)
  assert.deepEqual(nextSlots([...all], new Set([199_999])), [199_999])
})
