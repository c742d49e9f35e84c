// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { waitingPods } from '#controller/eni/demand.ts'
import type { NodeStatus } from '#kube/crd/node.ts'
import type { NodeRuntime, RuntimePod } from '#kube/crd/node-runtime.ts'
import type { Pod } from '#kube/reflect/pod.ts'

const pod = (podIP?: string, deletionTimestamp?: string): Pod => ({
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: { name: 'a', namespace: 'default', uid: 'u', ...(deletionTimestamp === undefined ? {} : { deletionTimestamp }) },
  spec: { nodeName: 'n' },
  status: { phase: 'Running', ...(podIP === undefined ? {} : { podIP }) },
})
const report = (state?: string): NodeRuntime => {
  const entry: RuntimePod | undefined =
    state === undefined ? undefined : { podID: 'default/a', status: { [state]: { lastUpdateTime: '2026-01-01T00:00:00Z' } } }
  return {
    apiVersion: 'network.alibabacloud.com/v1beta1',
    kind: 'NodeRuntime',
    metadata: { name: 'n' },
    spec: {},
    status: { pods: entry === undefined ? {} : { u: entry } },
  }
}
const status = (unschedulable: boolean): NodeStatus => ({
  networkInterfaces: {
    'eni-1': { id: 'eni-1', status: 'InUse', unschedulable, ipv4: { '10.0.0.1': { ip: '10.0.0.1', primary: true, status: 'Valid' } } },
  },
})

test('a pod whose sandbox is replaced waits again where each has an ENI; where they share ENIs its address says that it has one', () => {
  const waits = (p: Pod, state: string | undefined, mode: 'shared' | 'exclusive', s = status(false)) =>
    waitingPods([p], s, report(state), mode)
  assert.deepEqual([waits(pod(), undefined, 'exclusive'), waits(pod(), undefined, 'shared')], [1, 1])
  assert.deepEqual([waits(pod('10.0.0.1'), 'initial', 'exclusive'), waits(pod('10.0.0.1'), 'initial', 'shared')], [0, 0])
  assert.deepEqual([waits(pod('10.0.0.1'), 'deleted', 'exclusive'), waits(pod('10.0.0.1'), 'deleted', 'shared')], [1, 0])
  assert.deepEqual(
    [waits(pod('10.0.0.9'), 'deleted', 'exclusive'), waits(pod('10.0.0.9'), undefined, 'exclusive')],
    [1, 1],
    'also when its ENI has gone',
  )
  assert.equal(waits(pod('10.0.0.1'), undefined, 'exclusive', status(true)), 0, 'it has the address on an ENI that is not ours')
  assert.equal(waits(pod('10.0.0.1', '2026-01-01T00:00:00Z'), 'deleted', 'exclusive'), 0)
})

test('where each pod has an ENI those that ask for another one do not wait for one that the daemon would refuse them', () => {
  const waits = (change: Pick<Pod['metadata'], 'annotations'>, limits?: Readonly<Record<string, string>>) => {
    const p = pod()
    const containers = limits === undefined ? [] : [{ name: 'c', resources: { limits } }]
    const asking = { ...p, metadata: { ...p.metadata, ...change }, spec: { ...p.spec, containers } }
    return waitingPods([asking], {}, report(), 'exclusive')
  }
  assert.deepEqual([waits({}), waits({}, { 'aliyun/eni': '1' })], [1, 1])
  assert.deepEqual([waits({}, { 'aliyun/member-eni': '1' }), waits({}, { 'aliyun/erdma': '1' })], [0, 0])
  assert.equal(waits({ annotations: { 'k8s.aliyun.com/pod-networking': 'blue' } }), 0)
})
