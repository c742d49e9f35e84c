// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { makeThrottle, type Priority } from '#cloud/throttle.ts'
import { VirtualClock } from '../../test/support/virtual-clock.ts'

const api = 'AssignPrivateIpAddresses'

/** A throttle of one call per second whose burst is used up. */
async function spent(clock: VirtualClock) {
  const throttle = makeThrottle(clock, { [api]: 60 })
  for (let i = 0; i < 60; i++) await throttle.acquire(api, 'warm', 'n')
  return throttle
}

test('a pod that waits goes before the warm pool, and that before giving back', async () => {
  const clock = new VirtualClock()
  const throttle = await spent(clock)
  const served: string[] = []
  for (const p of ['reclaim', 'warm', 'pod', 'pod'] as readonly Priority[]) throttle.acquire(api, p, p).then(() => served.push(p))
  await clock.advance(4_000)
  assert.deepEqual(served, ['pod', 'pod', 'warm', 'reclaim'])
})

test('who waits, for how long, and how long still', async () => {
  const clock = new VirtualClock()
  const throttle = await spent(clock)
  throttle.acquire(api, 'reclaim', 'node-1').catch(() => undefined)
  throttle.acquire(api, 'pod', 'node-2').catch(() => undefined)
  await clock.advance(500)
  const waiting = throttle.waiting().map(w => [w.who, w.waited, Math.round(w.expected)])
  assert.deepEqual(waiting, [
    ['node-2', 500, 500],
    ['node-1', 500, 1500],
  ])
  assert.equal(Math.round(throttle.expectedWait(api, 'pod')), 1500)
  assert.equal(throttle.expectedWait('DetachNetworkInterface', 'reclaim'), 0)
})

test('throttled: half the rate, once a second at most, and slowly back', async () => {
  const clock = new VirtualClock()
  const throttle = makeThrottle(clock, { [api]: 60 })
  throttle.throttled(api)
  throttle.throttled(api)
  assert.equal(Math.round(throttle.expectedWait(api, 'pod')), 2000)
  await clock.advance(60_000)
  assert.equal(throttle.expectedWait(api, 'pod'), 0)
})
