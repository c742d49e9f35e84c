// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Resting, rest } from '#controller/eni/resting.ts'
import { eni, poolWith } from '../../../test/support/pool.ts'

test('an ENI rests from when it became idle, and again when a pod has had it meanwhile', () => {
  const resting = new Resting()
  const at = (now: number, states: string) => resting.follow(poolWith([eni('eni-1', states)], { mode: 'exclusive' }), now).enis[0]?.resting
  assert.equal(at(0, 'h'), false)
  assert.deepEqual([at(1, 'i'), at(rest, 'i'), at(1 + rest, 'i')], [true, true, false])
  assert.deepEqual([at(2 + rest, 'h'), at(3 + rest, 'i'), at(2 * rest, 'i')], [false, true, true])
})

test('where pods share ENIs nothing rests: the pool keeps what it may', () => {
  const pool = poolWith([eni('eni-1', 'i')])
  assert.equal(new Resting().follow(pool, 0), pool)
})
