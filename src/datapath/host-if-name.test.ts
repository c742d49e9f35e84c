// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { hostIfName, isHostIfName } from '#datapath/host-if-name.ts'

test('the host end is named after namespace and pod, and after the interface unless it is eth0', () => {
  // printf 'default.web-0' | sha1sum
  assert.equal(hostIfName('default', 'web-0', 'eth0'), 'cali0d7763386da')
  assert.equal(hostIfName('default', 'web-0', 'eth1'), 'cali3a5a323e811')
})

test('only cali and eleven hex digits are ours', () => {
  assert.ok(isHostIfName('cali0d7763386da'))
  for (const other of ['cali0d7763386d', 'cali0d7763386da0', 'cali0d7763386dA', 'calico', 'eth0']) assert.ok(!isHostIfName(other), other)
})
