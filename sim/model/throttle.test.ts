// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { code } from '../testing.ts'
import { Throttler } from './throttle.ts'

test('one user is held to the limit, all of them together to a multiple; a refused call takes nothing', () => {
  const throttler = new Throttler({ enabled: true, perMinute: { A: 2 }, defaultPerMinute: 100, apiFactor: 1.5 })
  const take = (user: string, now: number) => () => throttler.take('A', user, now)
  take('one', 0)()
  take('one', 0)()
  assert.throws(take('one', 0), code('Throttling.User'))
  take('two', 0)()
  assert.throws(take('two', 0), code('Throttling.Api'))
  // 3 calls a minute for all: one more after 20 s, and the refused call above cost user two nothing.
  take('two', 20_000)()
  assert.throws(take('three', 20_000), code('Throttling.Api'))
  throttler.take('B', 'one', 0)
})

test('a bucket never holds more than one minute of calls, also when the clock goes back', () => {
  const throttler = new Throttler({ enabled: true, perMinute: { A: 1 }, defaultPerMinute: 1, apiFactor: 9 })
  const take = (now: number) => () => throttler.take('A', 'one', now)
  take(3600_000)()
  assert.throws(take(3600_000), code('Throttling.User'))
  assert.throws(take(0), code('Throttling.User'))
  assert.throws(take(3600_001), code('Throttling.User'))
  take(3660_000)()
})
