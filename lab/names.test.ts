// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { namesOf, netnsOf } from './names.ts'

test('everything carries the lab name, and no lab is the prefix of another', () => {
  const a = namesOf('a', '/labs')
  assert.equal(a.dir, '/labs/a')
  assert.equal(a.cgroup, 'terway.a')
  assert.equal(netnsOf(a, 'node1'), 'terway.a.node1')
  assert.ok(!netnsOf(namesOf('a-b', '/labs'), 'node1').startsWith(a.netnsPrefix))
})

test('a name that cannot be a directory, a cgroup and a label at once is refused', () => {
  for (const name of ['', 'A', 'a.b', '../x', '-a', 'a-', 'x'.repeat(25)]) assert.throws(() => namesOf(name), /lab name/)
})
