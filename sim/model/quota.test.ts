// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { code, world } from '../testing.ts'

// ecs.lab.medium: 4 ENIs with the primary, 14 with members, 10 IPv4 addresses each.

test('an instance holds as many ENIs as its type allows, and those on their way count', async () => {
  const { call, createEni, instance } = world()
  const ids = [await createEni(), await createEni(), await createEni(), await createEni()]
  for (const id of ids.slice(0, 3)) await call('AttachNetworkInterface', { NetworkInterfaceId: id, InstanceId: instance.instanceId })
  await assert.rejects(
    call('AttachNetworkInterface', { NetworkInterfaceId: ids[3] ?? '', InstanceId: instance.instanceId }),
    code('EniPerInstanceLimitExceeded'),
  )
})

test('an attached ENI holds as many addresses as the type allows, a free one fifty', async () => {
  const { call, createEni, attach, eni } = world()
  const id = await createEni({ SecondaryPrivateIpAddressCount: '8' })
  await attach(id)
  const assign = (count: string) => call('AssignPrivateIpAddresses', { NetworkInterfaceId: id, SecondaryPrivateIpAddressCount: count })
  await assert.rejects(assign('2'), code('InvalidOperation.Ipv4CountExceeded'))
  await assign('1')
  assert.equal(eni(id)?.ipv4.length, 10)
  const big = await createEni({ SecondaryPrivateIpAddressCount: '49' })
  await assert.rejects(attach(big), code('InvalidOperation.Ipv4CountExceeded'))
  await assert.rejects(
    call('AssignPrivateIpAddresses', { NetworkInterfaceId: big, SecondaryPrivateIpAddressCount: '1' }),
    code('InvalidOperation.Ipv4CountExceeded'),
  )
  await assert.rejects(assign('11'), code('InvalidParameter.SecondaryPrivateIpAddressCount'))
})

test('IPv6 needs a vSwitch with a block and a type with addresses', async () => {
  const { call, createEni, simulator, clock } = world()
  await assert.rejects(createEni({ VSwitchId: 'vsw-b', Ipv6AddressCount: '1' }), code('InvalidVSwitch.Ipv6NotTurnOn'))
  const tiny = simulator.createInstance({ name: 'tiny', type: 'ecs.lab.tiny', vSwitchId: 'vsw-a', securityGroupIds: ['sg-1'] })
  const id = await createEni()
  await call('AttachNetworkInterface', { NetworkInterfaceId: id, InstanceId: tiny.instanceId })
  clock.pass(1000)
  await assert.rejects(
    call('AssignIpv6Addresses', { NetworkInterfaceId: id, Ipv6AddressCount: '1' }),
    code('InvalidOperation.Ipv6NotSupport'),
  )
})

test('an ENI with more IPv6 addresses than the type holds is not attached, and one call creates at most ten', async () => {
  const { call, createEni, simulator } = world()
  const uneven = simulator.createInstance({ name: 'uneven', type: 'ecs.lab.uneven', vSwitchId: 'vsw-a', securityGroupIds: ['sg-1'] })
  const attach = (id: string) => call('AttachNetworkInterface', { NetworkInterfaceId: id, InstanceId: uneven.instanceId })
  await assert.rejects(attach(await createEni({ Ipv6AddressCount: '3' })), code('InvalidOperation.Ipv6CountExceeded'))
  await attach(await createEni({ Ipv6AddressCount: '2' }))
  await createEni({ Ipv6AddressCount: '10' })
  await assert.rejects(createEni({ Ipv6AddressCount: '11' }), code('InvalidParameter.Ipv6AddressCount'))
})

test('an ENI stays in its zone', async () => {
  const { createEni, attach } = world()
  await assert.rejects(attach(await createEni({ VSwitchId: 'vsw-b' })), code('InvalidOperation.AvailabilityZoneMismatch'))
})

test('one trunk per instance carries members with a VLAN each, up to the total', async () => {
  const { call, createEni, attach, eni, instance, clock } = world()
  const trunk = await createEni({ InstanceType: 'Trunk' })
  await attach(trunk)
  await assert.rejects(attach(await createEni({ InstanceType: 'Trunk' })), code('InvalidOperation.InvalidEniType'))
  const members: string[] = []
  for (let i = 0; i < 12; i++) {
    const id = await createEni()
    await attach(id, { TrunkNetworkInstanceId: trunk })
    members.push(id)
  }
  const [first = '', second = ''] = members
  assert.deepEqual([eni(first)?.type, eni(first)?.attachment?.deviceIndex, eni(second)?.attachment?.deviceIndex], ['Member', 1, 2])
  await assert.rejects(attach(await createEni(), { TrunkNetworkInstanceId: trunk }), code('EniPerInstanceLimitExceeded'))
  await assert.rejects(
    call('DetachNetworkInterface', { NetworkInterfaceId: trunk, InstanceId: instance.instanceId }),
    code('InvalidOperation.InvalidEniState'),
  )
  await call('DetachNetworkInterface', { NetworkInterfaceId: first, InstanceId: instance.instanceId })
  clock.pass(1000)
  assert.equal(eni(first)?.type, 'Secondary')
  await attach(await createEni(), { TrunkNetworkInstanceId: trunk })
})

test('the account and the security group have limits', async () => {
  const few = world({ quota: { enisPerAccount: 1 } })
  await few.createEni()
  await assert.rejects(few.createEni(), code('MaxEniCountExceeded'))
  const small = world({ securityGroups: [{ id: 'sg-1', capacity: 3 }] })
  const id = await small.createEni({ SecondaryPrivateIpAddressCount: '1' })
  await assert.rejects(
    small.call('AssignPrivateIpAddresses', { NetworkInterfaceId: id, SecondaryPrivateIpAddressCount: '1' }),
    code('SecurityGroupInstanceLimitExceed'),
  )
})

test('a user may call so often per minute, and all users together four times as often', async () => {
  const { call, clock } = world({ throttle: { perMinute: { DescribeVSwitches: 2 } } })
  await call('DescribeVSwitches')
  await call('DescribeVSwitches')
  await assert.rejects(call('DescribeVSwitches'), code('Throttling.User'))
  await call('DescribeVpcs')
  clock.pass(30_000)
  await call('DescribeVSwitches')
  await assert.rejects(call('DescribeVSwitches'), code('Throttling.User'))
})

test('deleting an instance takes its ENIs with it, but not those that shall stay', async () => {
  const { simulator, createEni, attach, eni, instance } = world()
  const [goes, stays] = [await createEni(), await createEni({ DeleteOnRelease: 'false' })]
  await attach(goes)
  await attach(stays)
  simulator.deleteInstance(instance.instanceId)
  assert.equal(eni(goes), undefined)
  assert.equal(eni(stays)?.status, 'Available')
  assert.equal(eni(instance.primary.eniId), undefined)
  assert.deepEqual(simulator.view().instances, [])
})
