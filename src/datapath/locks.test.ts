// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Locks } from '#datapath/locks.ts'

test('work on one name runs in turn, work on others beside it, also after a failure', async () => {
  const locks = new Locks()
  const log: string[] = []
  const gate = Promise.withResolvers<void>()
  const first = locks.hold(['a', 'b'], async () => {
    log.push('ab')
    await gate.promise
    throw new Error('failed')
  })
  const second = locks.hold(['b', 'c'], async () => log.push('bc'))
  const third = locks.hold(['c'], async () => log.push('c'))
  await locks.hold(['d'], async () => log.push('d'))
  assert.deepEqual(log, ['ab', 'd'])
  gate.resolve()
  await assert.rejects(first, /failed/)
  await Promise.all([second, third])
  assert.deepEqual(log, ['ab', 'd', 'bc', 'c'])
})
