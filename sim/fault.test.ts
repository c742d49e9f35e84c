// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ReplyLost } from './call.ts'
import { parseFault } from './fault.ts'
import { code, world } from './testing.ts'

const create = { VSwitchId: 'vsw-a', SecurityGroupId: 'sg-1', ClientToken: 'once' }

test('an error before the call changes nothing, one after it leaves its effect', async () => {
  const { call, simulator } = world()
  const enis = () => simulator.store.state.list('eni').length
  simulator.addFault({ kind: 'error', action: 'CreateNetworkInterface', count: 1 })
  await assert.rejects(call('CreateNetworkInterface', create), code('InternalError'))
  assert.equal(enis(), 1)
  simulator.addFault({ kind: 'error', action: 'CreateNetworkInterface', when: 'after', code: 'ServiceUnavailable', count: 1 })
  await assert.rejects(call('CreateNetworkInterface', create), code('ServiceUnavailable'))
  assert.equal(enis(), 2)
  await call('CreateNetworkInterface', create)
  assert.equal(enis(), 2, 'the token finds what the failed call made')
})

test('a lost reply took effect', async () => {
  const { call, simulator } = world()
  simulator.addFault({ kind: 'lost-reply', count: 1 })
  await assert.rejects(call('CreateNetworkInterface', create), ReplyLost)
  assert.equal(simulator.store.state.list('eni').length, 2)
})

test('faults choose by action, parameter, count and seeded probability', async () => {
  const { call, simulator } = world()
  simulator.addFault({ kind: 'throttle', action: 'DescribeVSwitches', params: { VSwitchId: 'vsw-b' }, count: 2 })
  await call('DescribeVSwitches', { VSwitchId: 'vsw-a' })
  await call('DescribeVpcs')
  for (let i = 0; i < 2; i++) await assert.rejects(call('DescribeVSwitches', { VSwitchId: 'vsw-b' }), code('Throttling.User'))
  await call('DescribeVSwitches', { VSwitchId: 'vsw-b' })
  assert.deepEqual(simulator.faults()[0]?.hits, 2)
  simulator.clearFaults()
  const pattern = async () => {
    const id = simulator.addFault({ kind: 'throttle', probability: 0.5, seed: 7 })
    let text = ''
    for (let i = 0; i < 20; i++)
      text += await call('DescribeVpcs').then(
        () => '.',
        () => 'x',
      )
    simulator.clearFaults(id)
    return text
  }
  const first = await pattern()
  assert.match(first, /x/)
  assert.match(first, /\./)
  assert.equal(await pattern(), first)
})

test('a slow call takes effect at once and answers late', async () => {
  const { call, simulator, clock } = world()
  simulator.addFault({ kind: 'slow', ms: 5000 })
  let done = false
  const reply = call('CreateNetworkInterface', create).then(() => {
    done = true
  })
  for (let i = 0; i < 20; i++) await Promise.resolve()
  assert.equal(simulator.store.state.list('eni').length, 2)
  assert.equal(done, false)
  clock.pass(5000)
  await reply
})

test('a stuck transition ends when the fault is cleared', async () => {
  const { call, simulator, clock, createEni, eni, instance } = world()
  const id = await createEni()
  simulator.addFault({ kind: 'stuck', action: 'AttachNetworkInterface' })
  await call('AttachNetworkInterface', { NetworkInterfaceId: id, InstanceId: instance.instanceId })
  clock.pass(3600_000)
  assert.equal(eni(id)?.status, 'Attaching')
  simulator.clearFaults()
  assert.equal(eni(id)?.status, 'InUse')
})

test('a stuck detachment goes on when it is asked for again; an attachment may fail', async () => {
  const { call, simulator, clock, createEni, attach, eni, instance } = world()
  const id = await createEni()
  await attach(id)
  simulator.addFault({ kind: 'stuck', action: 'DetachNetworkInterface', count: 1 })
  const detach = () => call('DetachNetworkInterface', { NetworkInterfaceId: id, InstanceId: instance.instanceId })
  await detach()
  clock.pass(10_000)
  assert.equal(eni(id)?.status, 'Detaching')
  await detach()
  await detach()
  clock.pass(1000)
  assert.equal(eni(id)?.status, 'Available')
  simulator.addFault({ kind: 'attach-fails', count: 1 })
  await attach(id)
  assert.deepEqual([eni(id)?.status, eni(id)?.attachment, eni(id)?.failing], ['Available', undefined, undefined])
  await attach(id)
  assert.equal(eni(id)?.status, 'InUse')
})

test('an exhausted vSwitch reads 0 and gives nothing; a vanished ENI frees its addresses', async () => {
  const { call, simulator, createEni, eni } = world()
  const id = await createEni({ VSwitchId: 'vsw-small' })
  const free = async () => (await call('DescribeVSwitches', { VSwitchId: 'vsw-small' })).VSwitches.VSwitch[0]?.AvailableIpAddressCount
  assert.equal(await free(), 11)
  simulator.exhaustVSwitch('vsw-small')
  assert.equal(await free(), 0)
  await assert.rejects(createEni({ VSwitchId: 'vsw-small' }), code('InvalidVSwitchId.IpNotEnough'))
  simulator.exhaustVSwitch('vsw-small', false)
  simulator.vanishEni(id)
  assert.equal(eni(id), undefined)
  assert.equal(await free(), 12)
})

test('a malformed fault is refused', () => {
  for (const fault of [
    { kind: 'sloow' },
    { kind: 'slow' },
    { kind: 'throttle', sometimes: true },
    { kind: 'throttle', probability: 2 },
    null,
  ])
    assert.throws(() => parseFault(fault), /is no fault/)
})
