// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { readFile } from 'node:fs'
import { test } from 'node:test'
import { realClock, sleepUnlessAborted } from '#lib/clock.ts'

test('after no time: once what goes on now has been done, before any timer that is set then, unless cancelled', async () => {
  const order: string[] = []
  await new Promise<void>(resolve => {
    // Where something has arrived, as all that the daemon does begins: whatever the time, timers come later there.
    readFile(import.meta.filename, () => {
      realClock.after(1, () => {
        order.push('a millisecond')
        resolve()
      })
      realClock.after(0, () => order.push('soon'))
      realClock.after(0, () => order.push('never'))()
      queueMicrotask(() => order.push('now'))
    })
  })
  assert.deepEqual(order.slice(0, 2), ['now', 'soon'])
  assert.ok(!order.includes('never'))
})

test('a sleep that may be aborted is over then, and before when it is aborted already', async () => {
  const [stopper, anHour] = [new AbortController(), 3_600_000]
  const slept = sleepUnlessAborted(realClock, anHour, stopper.signal)
  stopper.abort(new Error('stopped'))
  await slept
  await sleepUnlessAborted(realClock, anHour, stopper.signal)
  await sleepUnlessAborted(realClock, 0, new AbortController().signal)
})
