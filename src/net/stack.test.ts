// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { familiesOf, podsServed, stackOf, stacks } from '#net/stack.ts'

test('a stack has one family or both, IPv4 first', () => {
  assert.deepEqual(stacks.map(familiesOf), [[4], [4, 6], [6]])
})

test('a Node CR that says nothing means IPv4', () => {
  assert.deepEqual(
    [undefined, {}, { enableIPv6: true }, { enableIPv4: true, enableIPv6: true }, { enableIPv4: false, enableIPv6: true }].map(stackOf),
    ['ipv4', 'ipv4', 'dual', 'dual', 'ipv6'],
  )
})

test('a dual-stack pod takes one address of each family', () => {
  assert.deepEqual(
    stacks.map(stack => podsServed(stack, 6, 2)),
    [6, 2, 2],
  )
  assert.equal(podsServed('dual', 2, 6), 2)
})
