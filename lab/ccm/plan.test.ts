// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  checkOf,
  counted,
  failuresAllowed,
  familiesOf,
  isOurs,
  type Node,
  nodeListeners,
  podListeners,
  type Service,
  type Slice,
  schemeOf,
  statusFor,
  usable,
} from './plan.ts'

const service: Service = {
  metadata: { uid: 'u1', name: 'web', namespace: 'default' },
  spec: {
    type: 'LoadBalancer',
    ipFamilies: ['IPv4', 'IPv6'],
    ports: [
      { name: 'tcp', port: 80, nodePort: 30080 },
      { name: 'udp', protocol: 'UDP', port: 80, nodePort: 30080 },
      { name: 'sctp', protocol: 'SCTP', port: 80, nodePort: 30080 },
    ],
  },
}
const node = (name: string, n: number, labels = {}): Node => ({
  metadata: { name, labels },
  status: { addresses: [4, 6].map(f => ({ type: 'InternalIP', address: f === 4 ? `10.0.0.${n}` : `fd00::${n}` })) },
})
const nodes = [node('a', 1), node('b', 2)]

test('a balancer is for Services of type LoadBalancer without a class, public unless the annotation says otherwise', () => {
  assert.equal(isOurs(service), true)
  assert.equal(isOurs({ ...service, spec: { ...service.spec, loadBalancerClass: 'x' } }), false)
  assert.equal(isOurs({ ...service, spec: { ...service.spec, type: 'NodePort' } }), false)
  assert.equal(isOurs({ ...service, metadata: { ...service.metadata, deletionTimestamp: 'now' } }), false)
  const annotations = { 'service.beta.kubernetes.io/alibaba-cloud-loadbalancer-address-type': 'intranet' }
  assert.deepEqual([schemeOf(service), schemeOf({ ...service, metadata: { ...service.metadata, annotations } })], ['internet', 'intranet'])
  assert.deepEqual(familiesOf(service), [4, 6])
})

test('ports of nodes that are well are its targets, TCP and UDP, in both families', () => {
  const well = (check: string) => check === 'http://10.0.0.2:10256/healthz'
  const targets = [
    { ip: '10.0.0.2', port: 30080 },
    { ip: 'fd00::2', port: 30080 },
  ]
  assert.deepEqual(nodeListeners(service, nodes, well), [
    { protocol: 'tcp', port: 80, targets },
    { protocol: 'udp', port: 80, targets },
  ])
  const limited = { ...service, spec: { ...service.spec, loadBalancerSourceRanges: ['198.51.100.0/24 '] } }
  assert.deepEqual(
    nodeListeners(limited, nodes, well).map(l => l.sources),
    [['198.51.100.0/24'], ['198.51.100.0/24']],
  )
  assert.deepEqual(podListeners(limited, [])[0]?.sources, ['198.51.100.0/24'])
  const excluded = { 'node.kubernetes.io/exclude-from-external-load-balancers': '' }
  assert.deepEqual(
    usable([...nodes, node('c', 3, excluded)]).map(n => n.metadata.name),
    ['a', 'b'],
  )
})

test('with policy Local a node is asked for its backends', () => {
  const local: Service = { ...service, spec: { ...service.spec, externalTrafficPolicy: 'Local', healthCheckNodePort: 31000 } }
  assert.equal(checkOf(local, node('a', 1)), 'http://10.0.0.1:31000/healthz')
})

test('pods are targets themselves where the annotation says so: the ready ones, by the port of their slice', () => {
  const slice = (namespace: string, family: 4 | 6): Slice => ({
    metadata: { namespace, labels: { 'kubernetes.io/service-name': 'web' } },
    ports: [{ name: 'tcp', port: 8080 }],
    endpoints: [
      { addresses: [family === 4 ? '10.1.0.1' : 'fd01::1'], conditions: { ready: true } },
      { addresses: ['10.1.0.9'], conditions: { ready: false } },
    ],
  })
  const all = podListeners(service, [slice('default', 4), slice('default', 6), slice('other', 4)])
  const targets = [
    { ip: '10.1.0.1', port: 8080 },
    { ip: 'fd01::1', port: 8080 },
  ]
  assert.deepEqual(all, [
    { protocol: 'tcp', port: 80, targets },
    { protocol: 'udp', port: 80, targets: [] },
  ])
})

test('the status is written when it differs, and taken away', () => {
  const ingress = [{ ip: '203.0.113.200', ipMode: 'VIP' }]
  assert.deepEqual(statusFor(service, ['203.0.113.200']), { status: { loadBalancer: { ingress } } })
  const told = { ...service, status: { loadBalancer: { ingress } } }
  assert.equal(statusFor(told, ['203.0.113.200']), undefined)
  assert.deepEqual(statusFor(told, []), { status: { loadBalancer: { ingress: null } } })
  assert.equal(statusFor(service, []), undefined)
})

test('a target that was well may fail twice; one that never was has to answer first', () => {
  const fails = new Map([['x', false]])
  const isWell = (failures: number | undefined) => (failures ?? failuresAllowed + 1) <= failuresAllowed
  let now: ReadonlyMap<string, number> = counted(new Map(), fails)
  assert.equal(isWell(now.get('x')), false)
  now = counted(now, new Map([['x', true]]))
  assert.equal(isWell(now.get('x')), true)
  now = counted(counted(now, fails), fails)
  assert.equal(isWell(now.get('x')), true)
  assert.equal(isWell(counted(now, fails).get('x')), false)
})
