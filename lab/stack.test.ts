// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { stacks } from '../src/net/stack.ts'
import { serviceRange } from './service-range.ts'
import { stackFrom } from './stack.ts'

test('nothing written is ipv4, and another word is refused with those that there are', () => {
  assert.deepEqual(
    [undefined, '', 'dual', 'ipv6'].map(text => stackFrom('IP_STACK', text)),
    ['ipv4', 'ipv4', 'dual', 'ipv6'],
  )
  assert.throws(() => stackFrom('IP_STACK', 'ipv5'), /^Error: IP_STACK ipv5: one of ipv4, dual, ipv6$/)
})

test('Services have the families of pods, IPv4 first, and the API server is in the first range', () => {
  assert.deepEqual(
    stacks.map(stack => [serviceRange(stack).cidrs.join(','), serviceRange(stack).api]),
    [
      ['172.21.0.0/20', '172.21.0.1'],
      ['172.21.0.0/20,fd00:172:21::/108', '172.21.0.1'],
      ['fd00:172:21::/108', 'fd00:172:21::1'],
    ],
  )
})
