// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { TestNode } from './node.ts'
import { World } from './world.ts'

/** Somebody fills the instance's ENI slots by hand. */
async function foreignEni(w: World, node: TestNode): Promise<string> {
  const made = (await w.simulator.call('CreateNetworkInterface', { VSwitchId: 'vsw-a', SecurityGroupId: 'sg-1' })) as {
    NetworkInterfaceId: string
  }
  await w.clock.advance(1_000)
  await w.simulator.call('AttachNetworkInterface', { NetworkInterfaceId: made.NetworkInterfaceId, InstanceId: node.instanceId })
  await w.clock.advance(3_000)
  return made.NetworkInterfaceId
}

async function takeAway(w: World, node: TestNode, eniId: string): Promise<void> {
  await w.simulator.call('DetachNetworkInterface', { NetworkInterfaceId: eniId, InstanceId: node.instanceId })
  await w.clock.advance(3_000)
  await w.simulator.call('DeleteNetworkInterface', { NetworkInterfaceId: eniId })
}

test('no spare ENI: foreign ENIs fill the instance', async () => {
  await using w = await World.make()
  const node = await w.join('node-1', 'ecs.lab.tiny')
  const foreign = await foreignEni(w, node)
  w.controlplane()
  node.add('pod-1')
  await w.until('the reason is told', () => w.warnings('node-1').some(m => /all 1 ENIs of the instance/.test(m)))
  await w.clock.advance(60_000)
  assert.equal(node.served, false)
  const cloud = w.enis().map(e => `${e.id} ${e.status}`)
  assert.deepEqual(cloud, [`${foreign} InUse`], 'nothing was created in vain, and the foreign ENI is left alone')
  assert.ok(
    w.warnings('node-1').some(m => m.includes(foreign)),
    'the message names the foreign ENI',
  )
  assert.match(node.pods.get('pod-1')?.lastError ?? '', /no address for pod default\/pod-1/)

  await takeAway(w, node, foreign)
  await w.atRest()
  assert.equal(w.nics('node-1').length, 1)
})

test('no spare ENI, and eni_tag_filter hides the foreign ones: no ENI is made and deleted again and again', async () => {
  await using w = await World.make()
  w.configure({ eni_tag_filter: { creator: 'terway' } })
  const node = await w.join('node-1', 'ecs.lab.tiny')
  const foreign = await foreignEni(w, node)
  w.controlplane()
  node.add('pod-1')
  await w.until('the reason is told', () =>
    w.warnings('node-1').some(m => /AttachENIFailed: .*EniPerInstanceLimitExceeded.*can hold no more ENIs/.test(m)),
  )
  await w.clock.advance(600_000)
  const made = w.wire.count('CreateNetworkInterface')
  assert.ok(made <= 10, `${made} ENIs made in 10 minutes`)
  await takeAway(w, node, foreign)
  await w.atRest(400_000)
})

test('every address slot is full', async () => {
  await using w = await World.make()
  const node = await w.oneNode('ecs.lab.tiny')
  node.add('pod-1', 'pod-2', 'pod-3', 'pod-4')
  await w.until('the reason is told', () =>
    w.conditions('node-1').some(m => /InsufficientIP: \d+ more addresses are needed: all 1 ENIs/.test(m)),
  )
  await w.until('the kubelet reads it', () =>
    [...node.pods.values()].some(p => /all 1 ENIs of the instance are in use and full/.test(p.lastError)),
  )
  assert.equal([...node.pods.values()].filter(p => p.ip !== undefined).length, 3)
  const before = w.wire.sent.length
  await w.clock.advance(300_000)
  assert.ok(w.wire.sent.length - before < 40, `${w.wire.sent.length - before} calls in 5 minutes of waiting`)

  node.remove([...node.pods.values()].find(p => p.ip !== undefined)?.name ?? '')
  await w.atRest()
})
