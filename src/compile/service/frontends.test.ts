// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parseIp } from '#net/ip.ts'
import { target } from '#state/target.ts'
import { Backends } from './backends.ts'
import { Frontends } from './frontends.ts'

const at = (port: number) => target(parseIp('10.0.0.1'), port, 6)
const gone = (changes: readonly { readonly key: string; readonly value: string | undefined }[]) =>
  changes.filter(c => c.value === undefined).map(c => Number.parseInt(c.key.slice(0, 2), 16))

test('of the frontends that nobody has the oldest ones go when there are too many', () => {
  const frontends = new Frontends([], 3)
  for (const port of [1, 2, 3, 4, 5]) assert.equal(frontends.use(at(port)), port)
  assert.deepEqual(gone(frontends.changes()), [])
  frontends.leave(at(3))
  frontends.leave(at(5))
  frontends.leave(at(1))
  // 5 is the last number: it stays, though it was left before 1.
  assert.deepEqual(gone(frontends.changes()), [3, 1])
  assert.equal(frontends.use(at(3)), 6)
  frontends.leave(at(2))
  assert.deepEqual(gone(frontends.changes()), [5])
})

test('restored frontends are of nobody until somebody asks for them, and twice the same is one', () => {
  const restored = [9, 4, 7].map(id => ({ id, target: at(id === 9 ? 4 : id) }))
  const frontends = new Frontends(restored, 2)
  assert.equal(frontends.use(at(4)), 9)
  assert.deepEqual(gone(frontends.changes()), [4])
  assert.equal(frontends.use(at(1)), 10)
  assert.deepEqual(gone(frontends.changes()), [7])
})

test('backends that drain go before their time when they are what fills the map', () => {
  const backends = new Backends([], 2, 0)
  for (const port of [1, 2, 3, 4]) backends.take(at(port), 'd/a')
  backends.release(at(2), 'd/a', 0)
  backends.release(at(1), 'd/a', 1)
  backends.release(at(3), 'd/a', 2)
  assert.deepEqual(gone(backends.changes(3)), [2, 1])
  assert.equal(backends.take(at(1), 'd/a'), 5)
})

test('twice the same backend in the maps is the later one', () => {
  const backends = new Backends(
    [3, 2].map(id => ({ id, target: at(1) })),
    10,
    0,
  )
  assert.equal(backends.take(at(1), 'd/a'), 3)
  assert.deepEqual(gone(backends.changes(0)), [2])
})
