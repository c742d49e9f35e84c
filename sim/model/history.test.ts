// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { world } from '../testing.ts'

test('Describe sees what was true a moment ago; calls that change something see the truth', async () => {
  const { call, clock, instance } = world({
    timing: { creating: 0, attaching: 1000, detaching: 0, deleting: 0, describeLag: 300, metadataLag: 0 },
  })
  const { NetworkInterfaceId: id } = await call('CreateNetworkInterface', { VSwitchId: 'vsw-a', SecurityGroupId: 'sg-1' })
  const seen = async () => {
    const reply = await call('DescribeNetworkInterfaces', { 'NetworkInterfaceId.1': id })
    return reply.NetworkInterfaceSets.NetworkInterfaceSet[0]?.Status
  }
  assert.equal(await seen(), undefined)
  clock.pass(299)
  assert.equal(await seen(), undefined)
  await call('AttachNetworkInterface', { NetworkInterfaceId: id, InstanceId: instance.instanceId })
  clock.pass(1)
  assert.equal(await seen(), 'Available')
  clock.pass(299)
  assert.equal(await seen(), 'Attaching')
  clock.pass(700)
  assert.equal(await seen(), 'Attaching')
  clock.pass(300)
  assert.equal(await seen(), 'InUse')
})
