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

test('work on all names waits for all that goes on, and later work on any name waits for it', async () => {
  const locks = new Locks()
  const log: string[] = []
  const gates = [Promise.withResolvers<void>(), Promise.withResolvers<void>()] as const
  const work = [
    locks.hold(['a'], () => gates[0].promise.then(() => log.push('a'))),
    locks.holdAll(() => gates[1].promise.then(() => log.push('all'))),
    locks.hold(['b'], async () => log.push('b')),
    locks.holdAll(async () => log.push('all again')),
  ]
  gates[1].resolve()
  await new Promise(resolve => setImmediate(resolve))
  assert.deepEqual(log, [])
  gates[0].resolve()
  await Promise.all(work)
  assert.deepEqual(log, ['a', 'all', 'b', 'all again'])
})
