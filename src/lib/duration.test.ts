// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parseDuration } from '#lib/duration.ts'

test('Go durations in milliseconds', () => {
  for (const [text, ms] of [
    ['2m', 120_000],
    ['1h30m', 5_400_000],
    ['0.5s', 500],
    ['1m0s', 60_000],
    ['300ms', 300],
    ['0', 0],
  ] as const)
    assert.equal(parseDuration(text), ms, text)
})

test('what Go refuses is refused', () => {
  for (const text of ['', '5', '-1s', '1d', '1 m', 's']) assert.throws(() => parseDuration(text), { code: 'bad-duration' }, text)
})
