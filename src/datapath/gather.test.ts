// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Gather } from '#datapath/gather.ts'
import { VirtualClock } from '../../test/support/virtual-clock.ts'

test('the first comes at once, a storm is gathered, and after a quiet time the next comes at once again', async () => {
  const clock = new VirtualClock()
  const told: string[] = []
  const gather = new Gather<string>(clock, 100, things => told.push(`${clock.now()}: ${things.join()}`))
  gather.add(['a'])
  assert.deepEqual(told, ['0: a'])
  for (let i = 0; i < 50; i++) {
    gather.add(i % 2 === 0 ? ['b', 'c'] : [])
    await clock.advance(1)
  }
  assert.equal(told.length, 1)
  await clock.advance(50)
  assert.deepEqual(told, ['0: a', '100: b,c'])
  await clock.advance(200)
  gather.add([])
  assert.deepEqual(told, ['0: a', '100: b,c', '300: '])
  gather.add(['d'])
  gather.stop()
  await clock.advance(200)
  assert.equal(told.length, 3)
})
