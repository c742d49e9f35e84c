// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { median, percentile, slope, stretches } from './stats.ts'

test('percentiles by nearest rank', () => {
  const values = Array.from({ length: 100 }, (_, i) => 100 - i)
  assert.deepEqual(
    [0, 0.5, 0.99, 1].map(p => percentile(values, p)),
    [1, 50, 99, 100],
  )
  assert.equal(percentile([7], 0.5), 7)
  assert.throws(() => percentile([], 0.5), /no values/)
})

test('the median of an even number of values lies between the middle ones', () => {
  assert.equal(median([4, 1, 3, 2]), 2.5)
  assert.equal(median([3, 1, 2]), 2)
  assert.throws(() => median([]), /no values/)
})

test('the slope of a line through noise', () => {
  assert.equal(
    slope([
      [0, 1],
      [1, 3],
      [2, 5],
    ]),
    2,
  )
  assert.ok(
    Math.abs(
      slope([
        [0, 1],
        [1, 0],
        [2, 2],
        [3, 1],
      ]) - 0.2,
    ) < 1e-9,
  )
  assert.throws(() => slope([[1, 1]]), /two points/)
})

test('medians of stretches', () => {
  assert.deepEqual(stretches([1, 2, 9, 4, 5, 6, 7], 3), [2, 5, 7])
  assert.deepEqual(stretches([3], 10), [3])
  assert.deepEqual(stretches([], 10), [])
})
