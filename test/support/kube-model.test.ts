// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type NodeCr, nodeCrs } from '#kube/crd/node.ts'
import type { WatchHandler } from '#kube/port.ts'
import { pods } from '#kube/reflect/pod.ts'
import { realClock } from '#lib/clock.ts'
import { KubeModel } from './kube-model.ts'
import { until } from './until.ts'

const bare = (name: string): NodeCr => ({ apiVersion: 'network.alibabacloud.com/v1beta1', kind: 'Node', metadata: { name }, spec: {} })

function recorder(lines: string[]): WatchHandler<NodeCr> {
  return {
    replaced: items => lines.push(`replaced ${items.map(i => i.metadata.name).join(' ')}`),
    applied: i => lines.push(`applied ${i.metadata.name}`),
    deleted: i => lines.push(`deleted ${i.metadata.name}`),
    interrupted: () => lines.push('interrupted'),
  }
}

test('a cut watch comes back and misses nothing; after compaction it lists again', async () => {
  const model = new KubeModel(realClock)
  model.faults.reconnectDelay = () => 5
  const kube = model.client('a')
  const lines: string[] = []
  const watch = kube.watch(nodeCrs, {}, recorder(lines))
  await watch.synced
  model.faults.disconnect('a')
  await kube.create(nodeCrs, bare('x'))
  await until(() => lines.includes('applied x'))
  model.faults.reconnectDelay = () => 200
  model.faults.disconnect()
  await kube.delete(nodeCrs, 'x')
  await kube.create(nodeCrs, bare('y'))
  model.faults.compact()
  await until(() => lines.includes('replaced y'))
  watch.stop()
  await kube.create(nodeCrs, bare('z'))
  assert.deepEqual(lines, ['replaced ', 'interrupted', 'applied x', 'interrupted', 'interrupted', 'replaced y'])
})

test('faults strike one client, one request, or only the answer', async () => {
  const model = new KubeModel(realClock)
  const [a, b] = [model.client('a'), model.client('b')]
  model.faults.unavailable(true, 'a')
  await assert.rejects(a.get(nodeCrs, 'x'), { code: 'unavailable' })
  assert.equal(await b.get(nodeCrs, 'x'), undefined)
  model.faults.unavailable(false, 'a')
  model.faults.failNext('conflict', 1, { verb: 'patch' })
  await a.create(nodeCrs, bare('x'))
  await assert.rejects(a.patch(nodeCrs, 'x', { type: 'merge', body: {} }), { code: 'conflict' })
  model.faults.failNext('lost', 1, { verb: 'create' })
  await assert.rejects(b.create(nodeCrs, bare('y')), { code: 'unavailable' })
  assert.equal(model.read(nodeCrs, 'y')?.metadata.name, 'y')
})

test('a pod on a node stays, deleted, until the kubelet is done with it', async () => {
  const model = new KubeModel(realClock)
  const kube = model.client('a')
  model.put(pods, {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name: 'p', namespace: 'd' },
    spec: { nodeName: 'n' },
    status: { phase: 'Running' },
  })
  await kube.delete(pods, 'p', 'd')
  assert.notEqual((await kube.get(pods, 'p', 'd'))?.metadata.deletionTimestamp, undefined)
  model.remove(pods, 'p', 'd')
  assert.equal(await kube.get(pods, 'p', 'd'), undefined)
})

test('an older CRD prunes what it does not know', async () => {
  const model = new KubeModel(realClock)
  model.prune(nodeCrs, o => ({ ...o, spec: {} }))
  const created = await model.client('a').create(nodeCrs, { ...bare('x'), spec: { datapath: { type: 'veth' } } })
  assert.deepEqual(created.spec, {})
})
