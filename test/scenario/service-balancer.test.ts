// SPDX-License-Identifier: Apache-2.0
import { deepEqual as equal } from 'node:assert/strict'
import { test } from 'node:test'
import { ServiceCluster } from './service-cluster.ts'

const web = (more = '', status = '') => `
kind: Service
metadata: { namespace: shop, name: web, uid: u-web, creationTimestamp: '2026-01-01T00:00:00Z' }
spec:
  type: LoadBalancer
  clusterIP: 10.96.0.20
  clusterIPs: [10.96.0.20]
  ports:
  - { name: http, protocol: TCP, port: 80, targetPort: http, nodePort: 30080 }
${more}
${status}
`
const status = `
status: { loadBalancer: { ingress: [{ ip: 203.0.113.9, ipMode: VIP }] } }
`
const slice = (endpoints: string, name = 'web-1', port = 8080) => `
kind: EndpointSlice
metadata: { namespace: shop, name: ${name}, labels: { kubernetes.io/service-name: web } }
addressType: IPv4
ports:
- { name: http, protocol: TCP, port: ${port} }
endpoints: ${endpoints}
`
const here = '{ addresses: [10.0.1.1], nodeName: cn-a }'
const there = '{ addresses: [10.0.2.2], nodeName: cn-b }'

test('a load balancer comes up, is limited, and keeps the clients of its policy', () => {
  const c = new ServiceCluster()
  c.apply(web())
  c.apply(slice(`[${here}, ${there}]`))
  c.expect(`
    10.96.0.20:80/TCP inside -> [10.0.1.1:8080/TCP 10.0.2.2:8080/TCP]
    192.168.0.10:30080/TCP inside -> [10.0.1.1:8080/TCP 10.0.2.2:8080/TCP]
    192.168.0.10:30080/TCP outside -> [10.0.1.1:8080/TCP 10.0.2.2:8080/TCP]
  `)
  // The cloud has given it an address.
  equal(c.apply(web('', status)), { frontends: 1, services: 2 })
  // One more entry says who may come, the two others that it counts.
  equal(c.apply(web('  loadBalancerSourceRanges: [198.51.100.0/24]', status)), { source_ranges: 1, services: 2 })
  const local = '  externalTrafficPolicy: Local\n  healthCheckNodePort: 32100'
  equal(c.health(), [])
  c.apply(web(`  loadBalancerSourceRanges: [198.51.100.0/24]\n${local}`, status))
  equal(c.health(), ['32100 shop/web 1'])
  c.expect(`
    10.96.0.20:80/TCP inside -> [10.0.1.1:8080/TCP 10.0.2.2:8080/TCP]
    192.168.0.10:30080/TCP inside -> [10.0.1.1:8080/TCP 10.0.2.2:8080/TCP]
    192.168.0.10:30080/TCP outside local keepSource -> [10.0.1.1:8080/TCP]
    203.0.113.9:80/TCP inside sourceRanges from 198.51.100.0/24 -> [10.0.1.1:8080/TCP 10.0.2.2:8080/TCP]
    203.0.113.9:80/TCP outside local sourceRanges keepSource from 198.51.100.0/24 -> [10.0.1.1:8080/TCP]
  `)
  // The node's last pod leaves: it serves on, while the balancer is told that nobody is here.
  c.apply(slice(`[{ addresses: [10.0.1.1], nodeName: cn-a, conditions: { ready: false, serving: true, terminating: true } }, ${there}]`))
  equal(c.health(), ['32100 shop/web 0'])
  c.expect(`
    10.96.0.20:80/TCP inside -> [10.0.2.2:8080/TCP]
    192.168.0.10:30080/TCP inside -> [10.0.2.2:8080/TCP]
    192.168.0.10:30080/TCP outside local keepSource -> [10.0.1.1:8080/TCP]
    203.0.113.9:80/TCP inside sourceRanges from 198.51.100.0/24 -> [10.0.2.2:8080/TCP]
    203.0.113.9:80/TCP outside local sourceRanges keepSource from 198.51.100.0/24 -> [10.0.1.1:8080/TCP]
  `)
  c.apply(slice(`[${there}]`))
  equal(
    c.maps.lines().filter(l => l.includes('outside')),
    [
      '192.168.0.10:30080/TCP outside local keepSource -> []',
      '203.0.113.9:80/TCP outside local sourceRanges keepSource from 198.51.100.0/24 -> []',
    ],
  )
})

test('a balancer in mode Proxy is not short-circuited; a Service that is none any more has no NodePort', () => {
  const c = new ServiceCluster()
  c.apply(web('', status.replace('VIP', 'Proxy')))
  c.apply(slice(`[${there}]`))
  c.expect(`
    10.96.0.20:80/TCP inside -> [10.0.2.2:8080/TCP]
    192.168.0.10:30080/TCP inside -> [10.0.2.2:8080/TCP]
    192.168.0.10:30080/TCP outside -> [10.0.2.2:8080/TCP]
  `)
  equal(c.apply(web().replace('type: LoadBalancer', 'type: ClusterIP').replace(', nodePort: 30080', '')), { services: 2 })
  c.expect('10.96.0.20:80/TCP inside -> [10.0.2.2:8080/TCP]')
})

test('hints of zones count while every endpoint has one; pods move between slices', () => {
  const c = new ServiceCluster()
  const at = (ip: string, zone: string) => `{ addresses: [${ip}], hints: { forZones: [{ name: ${zone} }] } }`
  c.apply(web().replace('type: LoadBalancer', 'type: ClusterIP').replace(', nodePort: 30080', ''))
  c.apply(slice(`[${at('10.0.1.1', 'zone-a')}, ${at('10.0.2.2', 'zone-b')}]`))
  c.expect(`
    10.96.0.20:80/TCP inside -> [10.0.1.1:8080/TCP]
  `)
  // Another slice, whose pod has another number for the named port and no hint yet.
  c.apply(slice('[{ addresses: [10.0.3.3] }]', 'web-2', 9090))
  c.expect('10.96.0.20:80/TCP inside -> [10.0.1.1:8080/TCP 10.0.2.2:8080/TCP 10.0.3.3:9090/TCP]')
  c.apply(slice(`[${at('10.0.3.3', 'zone-b')}]`, 'web-2', 9090))
  c.expect(`
    10.96.0.20:80/TCP inside -> [10.0.1.1:8080/TCP]
    10.0.2.2:8080/TCP draining
    10.0.3.3:9090/TCP draining
  `)
  // The controller moves a pod: first it is in both slices, then in the second one alone.
  equal(c.apply(slice(`[${at('10.0.1.1', 'zone-a')}]`, 'web-3')), {})
  equal(c.apply(slice('[]')), {})
})

test('NodePorts follow the addresses of the node', () => {
  const c = new ServiceCluster()
  c.apply(web())
  c.apply(`
kind: Node
metadata: { name: cn-a, labels: { topology.kubernetes.io/zone: zone-a } }
spec: {}
status: { addresses: [{ type: InternalIP, address: 192.168.0.11 }] }
`)
  c.expect(`
    10.96.0.20:80/TCP inside -> []
    192.168.0.11:30080/TCP inside -> []
    192.168.0.11:30080/TCP outside -> []
  `)
})

test('clients that stay, and clients that a table sends', () => {
  const c = new ServiceCluster()
  const sticky = '  sessionAffinity: ClientIP\n  sessionAffinityConfig: { clientIP: { timeoutSeconds: 60 } }'
  c.apply(web(sticky).replace('type: LoadBalancer', 'type: ClusterIP').replace(', nodePort: 30080', ''))
  equal(c.apply(slice(`[${here}, ${there}]`)), { backends: 2, backend_slots: 4, backend_sets: 1 })
  const line = '10.96.0.20:80/TCP inside affinity=60 -> [10.0.1.1:8080/TCP 10.0.2.2:8080/TCP] sticky [10.0.1.1:8080/TCP 10.0.2.2:8080/TCP]'
  c.expect(line)
  equal(c.apply(slice(`[${here}]`)), { backend_slots: 2, backend_sets: 1, backends: 1 })
  const maglev = web().replace('name: web,', 'name: web, annotations: { k8s.aliyun.com/service-algorithm: maglev },')
  c.apply(maglev.replace('type: LoadBalancer', 'type: ClusterIP').replace(', nodePort: 30080', ''))
  c.apply(slice(`[${here}, ${there}]`))
  c.expect('10.96.0.20:80/TCP inside hashed -> [10.0.1.1:8080/TCP 10.0.2.2:8080/TCP] table of 1021 44718cdc')
  const { backend_slots: moved = 0 } = c.apply(slice(`[${here}, ${there}, { addresses: [10.0.3.3] }]`))
  equal(moved < 500, true)
})
