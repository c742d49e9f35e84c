// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { generator } from '../fault.ts'
import { code, world } from '../testing.ts'
import { moves } from './eni-moves.ts'

test('an ENI goes through its states in their time', async () => {
  const { call, clock, eni, instance } = world()
  const { NetworkInterfaceId: id } = await call('CreateNetworkInterface', { VSwitchId: 'vsw-a', SecurityGroupId: 'sg-1' })
  const at = async (ms: number, status: string | undefined) => {
    clock.pass(ms)
    assert.equal(eni(id)?.status, status)
  }
  const target = { NetworkInterfaceId: id, InstanceId: instance.instanceId }
  await at(99, 'Creating')
  await assert.rejects(call('AttachNetworkInterface', target), code('InvalidOperation.InvalidEniState'))
  await at(1, 'Available')
  await call('AttachNetworkInterface', target)
  await at(999, 'Attaching')
  await assert.rejects(call('DetachNetworkInterface', target), code('InvalidOperation.InvalidEniState'))
  await assert.rejects(
    call('AssignPrivateIpAddresses', { ...target, SecondaryPrivateIpAddressCount: '1' }),
    code('InvalidOperation.InvalidEniState'),
  )
  await at(1, 'InUse')
  await assert.rejects(call('DeleteNetworkInterface', target), code('InvalidOperation.InvalidEniState'))
  await call('DetachNetworkInterface', target)
  await at(999, 'Detaching')
  assert.equal(eni(id)?.attachment?.instanceId, instance.instanceId)
  await at(1, 'Available')
  assert.equal(eni(id)?.attachment, undefined)
  await call('DeleteNetworkInterface', target)
  await at(99, 'Deleting')
  await at(1, undefined)
  await assert.rejects(call('DeleteNetworkInterface', target), code('InvalidEniId.NotFound'))
})

test('random calls only ever make legal moves, and every address has one holder', async () => {
  const calls = [
    'CreateNetworkInterface',
    'AttachNetworkInterface',
    'DetachNetworkInterface',
    'DeleteNetworkInterface',
    'AssignPrivateIpAddresses',
  ]
  const legal = new Set(['undefined>Creating', 'Available>Attaching', 'InUse>Detaching', 'Available>Deleting'])
  for (const [status, { ends }] of Object.entries(moves))
    if (ends !== undefined) legal.add(`${status}>${ends === 'gone' ? undefined : ends}`)
  for (let seed = 1; seed <= 5; seed++) {
    const { simulator, call, clock, instance } = world({ throttle: { enabled: false } })
    const random = generator(seed)
    const known = new Map<string, string>()
    const { state } = simulator.store
    simulator.store.onChange(changes => {
      for (const change of changes) {
        if (change.kind !== 'eni') continue
        const [from, to] = [known.get(change.id), change.row?.status]
        if (from !== to) assert.ok(legal.has(`${from}>${to}`), `seed ${seed}: ${from} > ${to}`)
        if (to === undefined) known.delete(change.id)
        else known.set(change.id, to)
      }
    })
    let refused = 0
    for (let step = 0; step < 300; step++) {
      const ids = [...known.keys()]
      const params = { NetworkInterfaceId: ids[Math.floor(random() * ids.length)] ?? 'eni-none', InstanceId: instance.instanceId }
      const create = { VSwitchId: 'vsw-small', SecurityGroupId: 'sg-1', SecondaryPrivateIpAddressCount: '1' }
      await call(calls[Math.floor(random() * calls.length)] ?? '', { ...params, ...create }).catch(() => refused++)
      clock.pass(Math.floor(random() * 400))
      const holders = state
        .list('eni')
        .filter(eni => eni.vSwitchId === 'vsw-small')
        .flatMap(eni => eni.ipv4)
      assert.equal(new Set(holders).size, holders.length)
      assert.equal(state.book('vsw-small').v4.available, 12 - holders.length)
    }
    assert.ok(refused > 0 && refused < 300, `${refused} of 300 calls were refused`)
  }
})

test('an operation that fails leaves nothing behind', async () => {
  const { simulator, call } = world()
  const before = JSON.stringify(simulator.store.state.dump())
  const tags = { 'Tag.1.Key': 'acs:reserved', 'Tag.1.Value': 'x' }
  await assert.rejects(
    call('CreateNetworkInterface', { VSwitchId: 'vsw-a', SecurityGroupId: 'sg-1', ...tags }),
    code('InvalidParameter.Tag.Key'),
  )
  const many = { VSwitchId: 'vsw-small', SecurityGroupId: 'sg-1', SecondaryPrivateIpAddressCount: '12' }
  await assert.rejects(call('CreateNetworkInterface', many), code('InvalidVSwitchId.IpNotEnough'))
  assert.equal(JSON.stringify(simulator.store.state.dump()), before)
})

test('addresses may be named, and are checked', async () => {
  const { call, eni, createEni } = world()
  const id = await createEni({ PrimaryIpAddress: '10.0.0.50', 'PrivateIpAddress.1': '10.0.0.52', 'Ipv6Address.1': 'fd00:0::9' })
  assert.deepEqual(eni(id)?.ipv4, ['10.0.0.50', '10.0.0.52'])
  assert.deepEqual(eni(id)?.ipv6, ['fd00::9'])
  const assign = (ip: string) => call('AssignPrivateIpAddresses', { NetworkInterfaceId: id, 'PrivateIpAddress.1': ip })
  await assert.rejects(assign('10.0.0.52'), code('InvalidIp.IpAssigned'))
  await assert.rejects(assign('10.0.1.9'), code('InvalidVSwitchId.IpInvalid'))
  await assert.rejects(assign('10.0.0.253'), code('InvalidVSwitchId.IpInvalid'))
  await assert.rejects(assign('10.0.0.x'), code('InvalidParameter.PrivateIpAddress'))
  await assert.rejects(
    call('UnassignPrivateIpAddresses', { NetworkInterfaceId: id, 'PrivateIpAddress.1': '10.0.0.50' }),
    code('InvalidParameter.PrivateIpAddress'),
  )
  const twice = { NetworkInterfaceId: id, 'PrivateIpAddress.1': '10.0.0.52', 'PrivateIpAddress.2': '10.0.0.99' }
  await assert.rejects(call('UnassignPrivateIpAddresses', twice), code('InvalidIp.IpUnassigned'))
  assert.deepEqual(eni(id)?.ipv4, ['10.0.0.50', '10.0.0.52'])
})
