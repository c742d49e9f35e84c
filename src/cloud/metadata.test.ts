// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { makeMetadata } from '#cloud/metadata.ts'
import { type Clock, realClock } from '#lib/clock.ts'

/** Time passes in calls only: 5 ms each; waiting takes none. */
function serviceOf(statuses: number[]) {
  let now = 0
  const clock: Clock = { ...realClock, now: () => now, sleep: async () => {} }
  const fetchFn = async (url: unknown) => {
    if (String(url).endsWith('/api/token')) return new Response('token')
    now += 5
    const status = statuses.shift() ?? 0
    if (status === 0) throw new Error('hung up')
    return new Response('eth0/', { status })
  }
  const seen: [url: string, failed: boolean, ms: number][] = []
  return { seen, metadata: makeMetadata(clock, 'imds.test', fetchFn, (...call) => seen.push(call)) }
}

const url = 'http://imds.test/latest/meta-data/mac'

test('each try is told, whether it failed and how long it took', async () => {
  const { seen, metadata } = serviceOf([503, 0, 401, 200])
  assert.equal(await metadata.get('mac'), 'eth0')
  assert.deepEqual(seen, [
    [url, true, 5],
    [url, true, 5],
    [url, true, 5],
    [url, false, 5],
  ])
})

test('that there is no such value is an answer', async () => {
  const { seen, metadata } = serviceOf([404])
  assert.equal(await metadata.get('mac'), undefined)
  assert.deepEqual(seen, [[url, false, 5]])
})
