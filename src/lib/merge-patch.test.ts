// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { applyMerge, diffMerge } from '#lib/merge-patch.ts'

test('applies the examples of RFC 7396, appendix A', () => {
  const cases: readonly [unknown, unknown, unknown][] = [
    [{ a: 'b' }, { a: 'c' }, { a: 'c' }],
    [{ a: 'b' }, { b: 'c' }, { a: 'b', b: 'c' }],
    [{ a: 'b' }, { a: null }, {}],
    [{ a: 'b', b: 'c' }, { a: null }, { b: 'c' }],
    [{ a: ['b'] }, { a: 'c' }, { a: 'c' }],
    [{ a: { b: 'c' } }, { a: { b: 'd', c: null } }, { a: { b: 'd' } }],
    [{ a: [{ b: 'c' }] }, { a: [1] }, { a: [1] }],
    [{ e: null }, { a: 1 }, { e: null, a: 1 }],
    [[1, 2], { a: 'b', c: null }, { a: 'b' }],
    [{}, { a: { bb: { ccc: null } } }, { a: { bb: {} } }],
  ]
  for (const [target, patch, result] of cases) assert.deepEqual(applyMerge(target, patch), result)
})

test('the difference, applied, gives the wanted value, and says no more than needed', () => {
  const from = { a: 1, b: { c: 2, d: [1, 2] }, e: 'x' }
  const to = { a: 1, b: { c: 3, d: [1, 2], f: 4 }, g: { h: 5 } }
  assert.deepEqual(diffMerge(from, to), { b: { c: 3, f: 4 }, e: null, g: { h: 5 } })
  assert.deepEqual(applyMerge(from, diffMerge(from, to)), to)
  assert.equal(diffMerge(to, structuredClone(to)), undefined)
})
