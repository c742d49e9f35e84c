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
