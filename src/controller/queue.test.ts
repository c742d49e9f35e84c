// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { makeQueue, type Round } from '#controller/queue.ts'
import { VirtualClock } from '../../test/support/virtual-clock.ts'

const options = { concurrency: 2, minFailureDelay: 1_000, maxFailureDelay: 4_000, failed: () => undefined }

test('one round per key at a time; wakes during a round make one more', async () => {
  const clock = new VirtualClock()
  const log: string[] = []
  const queue = makeQueue(
    clock,
    async key => {
      log.push(`${key}+`)
      await clock.sleep(100)
      log.push(`${key}-`)
      return {}
    },
    options,
  )
  for (const key of ['a', 'a', 'b', 'c']) queue.wake(key)
  await clock.advance(50)
  for (let i = 0; i < 3; i++) queue.wake('a')
  await clock.advance(1_000)
  assert.deepEqual(log, ['a+', 'b+', 'a-', 'c+', 'b-', 'a+', 'c-', 'a-'])
})

test('failures back off to the maximum, a wake does not wait for that', async () => {
  const clock = new VirtualClock()
  const at: number[] = []
  const queue = makeQueue(
    clock,
    (): Promise<Round> => {
      at.push(clock.now())
      return Promise.reject(new Error('no'))
    },
    options,
  )
  queue.wake('a')
  await clock.advance(12_000)
  assert.deepEqual(at, [0, 1_000, 3_000, 7_000, 11_000])
  queue.wake('a')
  await clock.advance(0)
  assert.equal(at.at(-1), 12_000)
})

test('a round asks for the next one; stop ends it', async () => {
  const clock = new VirtualClock()
  let rounds = 0
  const queue = makeQueue(
    clock,
    () => {
      rounds++
      return Promise.resolve({ again: 500 })
    },
    options,
  )
  queue.wake('a')
  await clock.advance(1_600)
  assert.equal(rounds, 4)
  queue.stop()
  await clock.advance(5_000)
  assert.equal(rounds, 4)
})
