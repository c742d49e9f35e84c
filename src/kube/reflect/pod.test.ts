// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { pods } from './pod.ts'

test('a pod is trimmed to what Terway reads', () => {
  const pod = pods.parse({
    metadata: {
      name: 'web-0',
      namespace: 'default',
      uid: 'p1',
      labels: { app: 'web' },
      annotations: { 'k8s.aliyun.com/pod-eni': 'true', 'kubectl.kubernetes.io/last-applied-configuration': '{…}' },
      managedFields: [{ manager: 'kubectl' }],
      generateName: 'web-',
    },
    spec: {
      nodeName: 'cn-a',
      hostNetwork: false,
      containers: [
        { name: 'main', image: 'x', env: [], resources: { limits: { cpu: '1', 'aliyun/eni': '1' }, requests: { cpu: '1' } } },
        { name: 'side', image: 'y' },
      ],
      volumes: [{ name: 'v' }],
    },
    status: { phase: 'Running', podIP: '10.0.0.7', podIPs: [{ ip: '10.0.0.7' }], conditions: [{ type: 'Ready' }] },
  })
  assert.deepEqual(pod, {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name: 'web-0', namespace: 'default', uid: 'p1', labels: { app: 'web' }, annotations: { 'k8s.aliyun.com/pod-eni': 'true' } },
    spec: { nodeName: 'cn-a', hostNetwork: false, containers: [{ name: 'main', resources: { limits: { 'aliyun/eni': '1' } } }] },
    status: { phase: 'Running', podIP: '10.0.0.7', podIPs: [{ ip: '10.0.0.7' }] },
  })
})

test('a key named __proto__ is data', () => {
  const pod = pods.parse(JSON.parse('{"metadata":{"name":"a","labels":{"__proto__":"x"}},"spec":{}}'))
  assert.deepEqual(Object.entries(pod.metadata.labels ?? {}), [['__proto__', 'x']])
})
