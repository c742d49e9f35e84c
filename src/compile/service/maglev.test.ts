// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { maglevSlots, maglevTable } from './maglev.ts'

const names = (n: number) => Array.from({ length: n }, (_, i) => `10.0.${i >> 8}.${i & 255} 8080 6`)
/** By name, so that tables of different lists compare. */
const tableOf = (list: readonly string[]) => maglevTable(list).map(i => list[i])

test('every slot has a backend, and each backend about as many as the others', () => {
  for (const n of [1, 2, 3, 10, 100]) {
    const table = tableOf(names(n))
    assert.equal(table.length, maglevSlots)
    const counts = names(n).map(name => table.filter(t => t === name).length)
    assert.ok(Math.max(...counts) - Math.min(...counts) <= 1, `${n}: ${counts}`)
  }
  assert.deepEqual(maglevTable([]), [])
})

test('the table follows from the names, in whatever order they come', () => {
  assert.deepEqual(tableOf(names(9)), tableOf(names(9).toReversed()))
})

test('when one goes, few slots change between those that stay', () => {
  for (const n of [3, 10, 50]) {
    const before = tableOf(names(n))
    for (const gone of [0, 1, n - 1]) {
      const after = tableOf(names(n).toSpliced(gone, 1))
      const moved = before.filter((name, i) => name !== names(n)[gone] && name !== after[i]).length
      // A hash modulo the number of backends would move all but one in n.
      assert.ok(moved < maglevSlots / 4, `${n} backends without ${gone}: ${moved} slots moved`)
    }
  }
})

test('more backends than slots: some have none', () => {
  assert.equal(new Set(tableOf(names(2000))).size, maglevSlots)
})
