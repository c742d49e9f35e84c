// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { readFile } from 'node:fs'
import { test } from 'node:test'
import { realClock } from '#lib/clock.ts'

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
