// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { endpointSlices } from './endpoint-slice.ts'
import { services } from './service.ts'

test('a Service is trimmed to what decides where packets go', () => {
  const spec = {
    type: 'LoadBalancer',
    clusterIP: '10.96.0.1',
    clusterIPs: ['10.96.0.1', 'fd10::1'],
    ports: [{ name: 'http', protocol: 'TCP', port: 80, nodePort: 30080 }],
    externalTrafficPolicy: 'Local',
    healthCheckNodePort: 32000,
    sessionAffinity: 'ClientIP',
    sessionAffinityConfig: { clientIP: { timeoutSeconds: 60 } },
  }
  const raw = {
    metadata: { name: 'web', namespace: 'd', annotations: { a: 'b', 'kubectl.kubernetes.io/last-applied-configuration': '{…}' } },
    spec: { ...spec, ports: [{ ...spec.ports[0], targetPort: 'http' }], selector: { app: 'web' }, ipFamilies: ['IPv4', 'IPv6'] },
    status: { loadBalancer: { ingress: [{ ip: '203.0.113.9', ipMode: 'VIP', ports: [] }] }, conditions: [] },
  }
  assert.deepEqual(services.parse(raw), {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: { name: 'web', namespace: 'd', annotations: { a: 'b' } },
    spec,
    status: { loadBalancer: { ingress: [{ ip: '203.0.113.9', ipMode: 'VIP' }] } },
  })
  assert.deepEqual(services.parse({ metadata: { name: 'a' } }).spec, {})
  assert.throws(() => services.parse({ metadata: { name: 'a' }, spec: { ports: [{ port: 'http' }] } }), /spec\.ports\[0\]\.port/)
})

test('a slice is trimmed, and one of names or without a list has no endpoints', () => {
  const parse = (body: object) => endpointSlices.parse({ metadata: { name: 'web-1', namespace: 'd' }, ...body })
  const endpoint = {
    addresses: ['10.0.0.1'],
    conditions: { ready: true, serving: true, terminating: false },
    nodeName: 'cn-a',
    hints: { forZones: [{ name: 'a' }] },
  }
  const slice = parse({
    addressType: 'IPv4',
    ports: [{ name: '', protocol: 'TCP', port: 8080, appProtocol: 'h2c' }],
    endpoints: [{ ...endpoint, zone: 'a', targetRef: { kind: 'Pod' } }],
  })
  assert.deepEqual(slice.endpoints, [endpoint])
  assert.deepEqual(slice.ports, [{ name: '', protocol: 'TCP', port: 8080 }])
  assert.deepEqual(parse({ addressType: 'IPv6', endpoints: null }).endpoints, [])
  assert.deepEqual(parse({ addressType: 'FQDN', endpoints: [{ addresses: ['example.com'] }], ports: [] }).endpoints, [])
})
