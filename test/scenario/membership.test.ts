// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { nodeRuntimes } from '#kube/crd/node-runtime.ts'
import { nodes } from '#kube/reflect/node.ts'
import type { TestNode } from './node.ts'
import { World } from './world.ts'

/** The machine is gone from the cluster; whether its instance still exists is another question. */
async function leave(w: World, node: TestNode): Promise<void> {
  await node.stop()
  w.nodes.delete(node.name)
  for (const name of [...node.pods.keys()]) node.forget(name)
  w.api.remove(nodes, node.name)
  w.api.remove(nodeRuntimes, node.name)
}

test('the Kubernetes node is deleted while its instance lives: its ENIs are taken off and deleted', async () => {
  await using w = await World.make()
  const node = await w.oneNode()
  node.add('pod-1', 'pod-2')
  await w.atRest()
  await leave(w, node)
  await w.clock.advance(30_000)
  assert.equal(w.enis().length, 1, 'a node that comes back within a minute keeps its ENIs')
  await w.until('the ENIs are gone', () => w.enis().length === 0)
  await w.until('the Node CR is gone', () => w.cr('node-1') === undefined)
  assert.equal(w.simulator.instances().length, 1, 'the instance is not touched')
  assert.ok(w.log.some(line => line.includes('node has left')))
})

test("ENIs that Terway's controller made, without the tag of the cluster, leave with their node; foreign ones stay", async () => {
  await using w = await World.make()
  const node = await w.oneNode()
  const made = async (tags: Readonly<Record<string, string>>) => {
    const request = { VSwitchId: 'vsw-a', SecurityGroupId: 'sg-1', ...tags }
    const { NetworkInterfaceId: id } = (await w.simulator.call('CreateNetworkInterface', request)) as { NetworkInterfaceId: string }
    await w.clock.advance(1_000)
    await w.simulator.call('AttachNetworkInterface', { NetworkInterfaceId: id, InstanceId: node.instanceId })
    await w.until('it is recorded', () => w.nics('node-1').some(n => n.id === id && n.status === 'InUse'))
    return id
  }
  const theirs = await made({ 'Tag.1.Key': 'creator', 'Tag.1.Value': 'terway' })
  const foreign = await made({})
  node.add('pod-1')
  await w.until('the pod is served', () => node.served)
  await leave(w, node)
  await w.until('the Node CR is gone', () => w.cr('node-1') === undefined, 300_000)
  assert.equal(w.simulator.store.state.get('eni', theirs), undefined)
  assert.equal(w.simulator.store.state.get('eni', foreign)?.status, 'InUse')
})

test('the Kubernetes node is deleted, and the detachment of its ENI gets stuck: asking again gets it going', async () => {
  await using w = await World.make()
  const node = await w.oneNode()
  for (const action of ['DetachNetworkInterface', 'DeleteNetworkInterface']) w.simulator.addFault({ kind: 'stuck', action, count: 1 })
  await leave(w, node)
  await w.until('the Node CR is gone', () => w.cr('node-1') === undefined, 300_000)
  assert.deepEqual(w.enis(), [])
})

test('the node comes back within the grace', async () => {
  await using w = await World.make()
  const node = await w.oneNode()
  const [eni] = w.enis()
  await leave(w, node)
  await w.clock.advance(20_000)
  const again = await w.join('node-1', 'ecs.lab.medium', node.instanceId)
  again.add('pod-3')
  await w.atRest()
  assert.deepEqual(
    w.enis().map(e => e.id),
    [eni?.id],
  )
})

test('a node that comes back for a moment starts its grace anew', async () => {
  await using w = await World.make()
  const node = await w.oneNode()
  const object = w.api.read(nodes, 'node-1')
  assert.ok(object)
  w.simulator.addFault({ kind: 'slow', action: 'DescribeInstances', ms: 18_000, count: 1 })
  await leave(w, node)
  await w.clock.advance(15_000)
  // Both come while a round of the node waits for the cloud.
  w.api.put(nodes, { ...object, metadata: { name: 'node-1', labels: { ...object.metadata.labels } } })
  w.api.remove(nodes, 'node-1')
  await w.clock.advance(55_000)
  assert.equal(w.enis().length, 1, 'it has been away for less than a minute')
  await w.until('the ENIs are gone', () => w.enis().length === 0)
})

test('the instance is deleted while the Kubernetes node stays', async () => {
  await using w = await World.make()
  const node = await w.oneNode()
  node.add('pod-1')
  await w.atRest()
  const before = w.wire.sent.length
  w.simulator.deleteInstance(node.instanceId)
  await w.until('it is told', () => w.warnings('node-1').some(m => /does not exist in the cloud any more/.test(m)))
  node.add('pod-2')
  await w.until('it is told why no ENI comes', () => w.warnings('node-1').some(m => m.includes(node.instanceId) && /instance/.test(m)))
  await w.clock.advance(600_000)
  assert.ok(w.wire.sent.length - before < 200, `${w.wire.sent.length - before} calls in 12 minutes`)
  assert.ok(w.enis().length <= 1, `${w.enis().length} ENIs for an instance that does not exist`)
  await leave(w, node)
  await w.until('nothing is left', () => w.enis().length === 0 && w.cr('node-1') === undefined)
})

test('a node without the labels of the cloud: said so, and served when they come', async () => {
  await using w = await World.make()
  w.controlplane()
  const node = await w.join('node-1', 'ecs.lab.medium')
  const object = w.api.read(nodes, 'node-1')
  assert.ok(object)
  await leave(w, node)
  await w.until('the record is gone', () => w.cr('node-1') === undefined)
  const { 'topology.kubernetes.io/zone': _, ...labels } = object.metadata.labels ?? {}
  const again = await w.join('node-1', 'ecs.lab.medium', node.instanceId)
  w.api.put(nodes, { ...object, metadata: { name: 'node-1', labels } })
  again.add('pod-1')
  await w.until('it is told', () =>
    w.log.some(line => line.includes('node node-1 is not served: it has no label topology.kubernetes.io/zone')),
  )
  await w.clock.advance(60_000)
  assert.deepEqual(w.enis(), [])
  w.api.put(nodes, { ...object, metadata: { name: 'node-1', labels: { ...object.metadata.labels } } })
  await w.atRest()
})

test('a name is used again by another instance', async () => {
  await using w = await World.make()
  const node = await w.oneNode()
  node.add('pod-1')
  await w.atRest()
  await leave(w, node)
  const second = await w.join('node-1')
  assert.notEqual(second.instanceId, node.instanceId)
  second.add('pod-2', 'pod-3')
  await w.atRest(600_000)
  const own = w.enis().filter(e => e.attachment?.instanceId === second.instanceId)
  assert.ok(own.length > 0)
  await w.until(
    'nothing of the first instance is left',
    () => w.enis().every(e => e.attachment?.instanceId === second.instanceId),
    1_800_000,
  )
  await w.atRest()
})
