// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { World } from './world.ts'

test('an idle ENI is deleted behind our back', async () => {
  await using w = await World.make()
  await w.oneNode()
  const [eni] = w.enis()
  assert.ok(eni)
  w.simulator.vanishEni(eni.id)
  await w.until('it is told', () =>
    w.warnings('node-1').some(m => m === `ResourceInvalid: ENI ${eni.id} does not exist in the cloud any more`),
  )
  await w.atRest()
  assert.ok(!w.nics('node-1').some(n => n.id === eni.id), 'the dead ENI leaves the record')
  assert.equal(w.enis().length, 1, 'another one fills the pool')
})

test('an ENI that pods use is deleted behind our back', async () => {
  await using w = await World.make()
  const node = await w.oneNode()
  node.add('pod-1', 'pod-2')
  await w.atRest()
  const [eni] = w.enis()
  assert.ok(eni)
  w.simulator.vanishEni(eni.id)
  await w.until('it is told', () =>
    w.warnings('node-1').some(m => m.includes(`${eni.id} does not exist in the cloud any more; pods default/pod-1, default/pod-2`)),
  )
  // Its pods have lost their network for good; whoever owns them replaces them. New ones are served by a new ENI.
  node.add('pod-3')
  await w.until('the new pod is served', () => node.served)
  assert.ok(!eni.ipv4.includes(node.pods.get('pod-3')?.ip ?? ''))
  node.remove('pod-1')
  node.remove('pod-2')
  await w.atRest()
  assert.ok(!w.nics('node-1').some(n => n.id === eni.id), 'the dead ENI leaves the record')
})

test('an ENI is deleted behind our back while it is attached: another one takes its place', async () => {
  await using w = await World.make()
  w.configure({ min_pool_size: 0, max_pool_size: 0 })
  w.simulator.addFault({ kind: 'stuck', action: 'AttachNetworkInterface', count: 1 })
  w.controlplane()
  const node = await w.join('node-1')
  node.add('pod-1')
  await w.until('it is Attaching', () => w.enis().some(e => e.status === 'Attaching'))
  const [eni] = w.enis()
  assert.ok(eni)
  await w.clock.advance(60_000)
  w.simulator.vanishEni(eni.id)
  await w.until('the pod is served', () => node.served, 30_000)
  assert.ok(w.warnings('node-1').includes(`ResourceInvalid: ENI ${eni.id} does not exist in the cloud any more`))
  await w.atRest()
  assert.ok(!w.nics('node-1').some(n => n.id === eni.id), 'the dead ENI leaves the record')
})

test('an ENI is detached behind our back: no pod gets its addresses until it is attached again', async () => {
  await using w = await World.make()
  const node = await w.oneNode()
  node.add('pod-1')
  await w.atRest()
  await w.clock.advance(60_000)
  const [eni] = w.enis()
  assert.ok(eni)
  const detached = w.simulator.addFault({ kind: 'error', action: 'AttachNetworkInterface', code: 'Throttling.User', status: 400 })
  await w.simulator.call('DetachNetworkInterface', { NetworkInterfaceId: eni.id, InstanceId: node.instanceId })
  await w.until('it is told', () =>
    w
      .warnings('node-1')
      .some(
        m => m === `ResourceInvalid: ENI ${eni.id} was detached by somebody; pods default/pod-1 have no network until it is attached again`,
      ),
  )
  node.add('pod-2')
  await w.clock.advance(20_000)
  assert.equal(node.pods.get('pod-2')?.ip, undefined)
  w.simulator.clearFaults(detached)
  await w.until('it is attached again', () => w.enis().some(e => e.id === eni.id && e.status === 'InUse'), 400_000)
  await w.atRest()
})

test('an ENI is attached to another instance behind our back: lost, and never touched there', async () => {
  await using w = await World.make()
  const node = await w.oneNode()
  await w.clock.advance(60_000)
  const [eni] = w.enis()
  assert.ok(eni)
  const other = w.instance('other')
  w.restart()
  await w.simulator.call('DetachNetworkInterface', { NetworkInterfaceId: eni.id, InstanceId: node.instanceId })
  await w.until('it is off', () => w.enis().some(e => e.id === eni.id && e.status === 'Available'))
  await w.simulator.call('AttachNetworkInterface', { NetworkInterfaceId: eni.id, InstanceId: other })
  await w.until('it is told', () => w.warnings('node-1').some(m => m === `ResourceInvalid: ENI ${eni.id} is attached to instance ${other}`))
  node.add('pod-1', 'pod-2')
  await w.until('pods are served by another one', () => node.served)
  await w.until('it leaves the record', () => !w.nics('node-1').some(n => n.id === eni.id))
  const there = w.simulator.store.state.get('eni', eni.id)
  assert.deepEqual([there?.status, there?.attachment?.instanceId], ['InUse', other])
})

test('a foreign ENI that its owner detaches leaves the record and is not attached by us', async () => {
  await using w = await World.make()
  const node = await w.oneNode()
  const { NetworkInterfaceId: id } = (await w.simulator.call('CreateNetworkInterface', {
    VSwitchId: 'vsw-a',
    SecurityGroupId: 'sg-1',
  })) as {
    NetworkInterfaceId: string
  }
  await w.clock.advance(1_000)
  await w.simulator.call('AttachNetworkInterface', { NetworkInterfaceId: id, InstanceId: node.instanceId })
  await w.until('it is recorded', () => w.nics('node-1').some(n => n.id === id))
  await w.clock.advance(60_000)
  await w.simulator.call('DetachNetworkInterface', { NetworkInterfaceId: id, InstanceId: node.instanceId })
  await w.until('it leaves the record', () => !w.nics('node-1').some(n => n.id === id))
  await w.clock.advance(60_000)
  assert.equal(w.simulator.store.state.get('eni', id)?.status, 'Available')
  assert.ok(!w.wire.sent.some(s => s.params.get('NetworkInterfaceId') === id))
  await w.atRest()
})

test('an address is unassigned behind our back', async () => {
  await using w = await World.make()
  const node = await w.oneNode()
  node.add('pod-1', 'pod-2')
  await w.atRest()
  const [eni] = w.enis()
  const idle = eni?.ipv4.find(ip => ip !== eni.ipv4[0] && ![...node.pods.values()].some(p => p.ip === ip))
  assert.ok(eni !== undefined && idle !== undefined)
  await w.simulator.call('UnassignPrivateIpAddresses', { NetworkInterfaceId: eni.id, 'PrivateIpAddress.1': idle })
  await w.until('no pod can get it', () => w.nics('node-1').every(n => n.ipv4?.[idle]?.status !== 'Valid'))
  await w.atRest()
})

test('a foreign ENI beside ours is left alone', async () => {
  await using w = await World.make()
  const node = await w.oneNode()
  const made = (await w.simulator.call('CreateNetworkInterface', {
    VSwitchId: 'vsw-a',
    SecurityGroupId: 'sg-1',
    SecondaryPrivateIpAddressCount: '4',
  })) as { NetworkInterfaceId: string }
  await w.clock.advance(1_000)
  await w.simulator.call('AttachNetworkInterface', { NetworkInterfaceId: made.NetworkInterfaceId, InstanceId: node.instanceId })
  await w.until('it is recorded', () => w.nics('node-1').some(n => n.id === made.NetworkInterfaceId))
  node.add(...Array.from({ length: 12 }, (_, i) => `pod-${i}`))
  await w.atRest()
  const foreign = w.simulator.store.state.get('eni', made.NetworkInterfaceId)
  assert.equal(foreign?.ipv4.length, 5)
  assert.ok(
    [...node.pods.values()].every(p => !foreign?.ipv4.includes(p.ip ?? '')),
    'no pod is put on it',
  )
  for (const name of [...node.pods.keys()]) node.remove(name)
  await w.until('our surplus is given back', () =>
    w
      .enis()
      .filter(e => e.id !== made.NetworkInterfaceId)
      .every(e => e.ipv4.length <= 4),
  )
  await w.atRest()
  assert.equal(w.simulator.store.state.get('eni', made.NetworkInterfaceId)?.ipv4.length, 5)
  w.simulator.vanishEni(made.NetworkInterfaceId)
  await w.until('it leaves the record', () => !w.nics('node-1').some(n => n.id === made.NetworkInterfaceId))
  await w.atRest()
})
