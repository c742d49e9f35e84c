// SPDX-License-Identifier: Apache-2.0
import { deepEqual as equal } from 'node:assert/strict'
import { test } from 'node:test'
import { drainMs } from '#compile/service/backends.ts'
import { ServiceCluster } from './service-cluster.ts'

const dns = `
kind: Service
metadata: { namespace: kube-system, name: kube-dns, uid: u-dns, creationTimestamp: '2026-01-01T00:00:00Z' }
spec:
  clusterIP: 10.96.0.10
  clusterIPs: [10.96.0.10, 'fd10::a']
  ports:
  - { name: dns, protocol: UDP, port: 53, targetPort: 53 }
  - { name: dns-tcp, protocol: TCP, port: 53, targetPort: 53 }
`
const ports = `
ports:
- { name: dns, protocol: UDP, port: 53 }
- { name: dns-tcp, protocol: TCP, port: 53 }
`

const slice = (name: string, type: string, endpoints: string) => `
kind: EndpointSlice
metadata: { namespace: kube-system, name: ${name}, labels: { kubernetes.io/service-name: kube-dns } }
addressType: ${type}
${ports}
endpoints: ${endpoints}
`

test('DNS: two protocols on one port and two families; pods are rolled', () => {
  const c = new ServiceCluster()
  equal(c.apply(dns), { frontends: 4, backend_sets: 4, services: 4 })
  // Nobody there: who asks is refused.
  c.expect(`
    10.96.0.10:53/TCP inside -> []
    10.96.0.10:53/UDP inside -> []
    [fd10::a]:53/TCP inside -> []
    [fd10::a]:53/UDP inside -> []
  `)
  c.apply(
    slice(
      'dns-4',
      'IPv4',
      '[{ addresses: [10.0.1.5], nodeName: cn-b }, { addresses: [10.0.2.5], conditions: { ready: true }, nodeName: cn-a }]',
    ),
  )
  c.apply(slice('dns-6', 'IPv6', "[{ addresses: ['fd00:1::5'], nodeName: cn-b }]"))
  c.expect(`
    10.96.0.10:53/TCP inside -> [10.0.1.5:53/TCP 10.0.2.5:53/TCP]
    10.96.0.10:53/UDP inside -> [10.0.1.5:53/UDP 10.0.2.5:53/UDP]
    [fd10::a]:53/TCP inside -> [[fd00:1::5]:53/TCP]
    [fd10::a]:53/UDP inside -> [[fd00:1::5]:53/UDP]
  `)

  // The new pod is not ready yet, then the old one leaves, then it is dead, then it is gone.
  const roll = (old: string, young: string) =>
    c.apply(slice('dns-4', 'IPv4', `[{ addresses: [10.0.1.5], ${old} }, { addresses: [10.0.2.5] }, { addresses: [10.0.1.9], ${young} }]`))
  equal(roll('nodeName: cn-b', 'conditions: { ready: false, serving: false }'), {})
  equal(roll('conditions: { ready: false, serving: true, terminating: true }', 'conditions: { ready: true }'), {
    backends: 4,
    backend_slots: 2,
  })
  equal(roll('conditions: { ready: false, serving: false, terminating: true }', 'conditions: { ready: true }'), {})
  equal(c.apply(slice('dns-4', 'IPv4', '[{ addresses: [10.0.2.5] }, { addresses: [10.0.1.9] }]')), {})
  c.expect(`
    10.96.0.10:53/TCP inside -> [10.0.1.9:53/TCP 10.0.2.5:53/TCP]
    10.96.0.10:53/UDP inside -> [10.0.1.9:53/UDP 10.0.2.5:53/UDP]
    [fd10::a]:53/TCP inside -> [[fd00:1::5]:53/TCP]
    [fd10::a]:53/UDP inside -> [[fd00:1::5]:53/UDP]
    10.0.1.5:53/TCP draining
    10.0.1.5:53/UDP draining
  `)
  equal(c.later(drainMs - 1), {})
  equal(c.later(1), { backends: 2 })

  // Both pods leave at once: they serve until somebody else does.
  c.apply(
    slice(
      'dns-4',
      'IPv4',
      '[{ addresses: [10.0.2.5], conditions: { ready: false, serving: true, terminating: true } }, { addresses: [10.0.1.9], conditions: { ready: false, serving: true, terminating: true } }]',
    ),
  )
  c.remove('EndpointSlice kube-system/dns-6')
  c.expect(`
    10.96.0.10:53/TCP inside -> [10.0.1.9:53/TCP 10.0.2.5:53/TCP]
    10.96.0.10:53/UDP inside -> [10.0.1.9:53/UDP 10.0.2.5:53/UDP]
    [fd10::a]:53/TCP inside -> []
    [fd10::a]:53/UDP inside -> []
    [fd00:1::5]:53/TCP draining
    [fd00:1::5]:53/UDP draining
  `)
})

test('DNS on the node itself for its pods alone: internalTrafficPolicy Local', () => {
  const c = new ServiceCluster()
  c.apply(dns.replace('ports:', 'internalTrafficPolicy: Local\n  ports:'))
  c.apply(slice('dns-4', 'IPv4', '[{ addresses: [10.0.1.5], nodeName: cn-b }, { addresses: [10.0.2.5], nodeName: cn-a }]'))
  c.expect(`
    10.96.0.10:53/TCP inside local -> [10.0.2.5:53/TCP]
    10.96.0.10:53/UDP inside local -> [10.0.2.5:53/UDP]
    [fd10::a]:53/TCP inside -> []
    [fd10::a]:53/UDP inside -> []
  `)
  // Somewhere there is one: silence here.
  c.apply(slice('dns-6', 'IPv6', "[{ addresses: ['fd00:1::5'], nodeName: cn-b }]"))
  equal(c.maps.lines().slice(2), ['[fd10::a]:53/TCP inside local -> []', '[fd10::a]:53/UDP inside local -> []'])
})

test('a Service of one family, of both, and of one again; then it is gone', () => {
  const c = new ServiceCluster()
  c.apply(dns.replace(", 'fd10::a'", ''))
  c.apply(slice('dns-4', 'IPv4', '[{ addresses: [10.0.1.5] }]'))
  c.apply(slice('dns-6', 'IPv6', "[{ addresses: ['fd00:1::5'] }]"))
  const one = `
    10.96.0.10:53/TCP inside -> [10.0.1.5:53/TCP]
    10.96.0.10:53/UDP inside -> [10.0.1.5:53/UDP]
  `
  c.expect(one)
  c.apply(dns)
  c.expect(`${one}
    [fd10::a]:53/TCP inside -> [[fd00:1::5]:53/TCP]
    [fd10::a]:53/UDP inside -> [[fd00:1::5]:53/UDP]
  `)
  c.apply(dns.replace(", 'fd10::a'", ''))
  c.expect(`${one}
    [fd00:1::5]:53/TCP draining
    [fd00:1::5]:53/UDP draining
  `)
  equal(c.remove('Service kube-system/kube-dns'), { services: 2, backend_sets: 2, backend_slots: 2, backends: 2 })
  // Answers to those who still talk are translated back.
  equal(c.maps.get('frontends').size, 4)
})
