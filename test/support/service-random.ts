// SPDX-License-Identifier: Apache-2.0
import { algorithmAnnotation } from '#compile/service/plan.ts'
import type { EndpointSlice } from '#kube/reflect/endpoint-slice.ts'
import type { Service } from '#kube/reflect/service.ts'
import type { Chance } from './chance.ts'
import { type EndpointInput, service, slice } from './service-objects.ts'

/** Objects of a small world, so that Services meet at addresses and share endpoints. */

const anyKey = (c: Chance) => c.of('d/a', 'd/b', 'd/c', 'e/a', 'e/d')

type Ports = Service['spec']['ports']

const portLists: readonly [Ports, ...Ports[]] = [
  [{ port: 80 }],
  [
    { name: 'dns', protocol: 'UDP', port: 53, nodePort: 30053 },
    { name: 'dns-tcp', protocol: 'TCP', port: 53, nodePort: 30053 },
  ],
  [
    { name: '', protocol: 'TCP', port: 80, nodePort: 30080 },
    { name: 'sctp', protocol: 'SCTP', port: 8080 },
  ],
]

export function anyService(c: Chance): Service {
  const v4 = c.of('10.96.0.1', '10.96.0.2', '10.96.0.3')
  const spec = {
    type: c.of('ClusterIP', 'NodePort', 'LoadBalancer', 'LoadBalancer', 'ExternalName'),
    clusterIPs: c.of([v4], [v4, 'fd10::1'], ['fd10::2'], ['None']),
    ports: c.of(...portLists),
    externalIPs: c.of([], [], ['203.0.113.1', '2001:db8::1'], ['203.0.113.2'], ['192.168.0.10'], ['10.96.0.3']),
    externalTrafficPolicy: c.of('Cluster', 'Local'),
    internalTrafficPolicy: c.of('Cluster', 'Cluster', 'Local'),
    sessionAffinity: c.of('None', 'None', 'ClientIP'),
    loadBalancerSourceRanges: c.of([], [], ['198.51.100.0/24', ' 2001:db8:1::/48'], ['0.0.0.0/0', '198.51.100.7/32']),
    healthCheckNodePort: c.of(0, 32000),
  }
  return service(anyKey(c), spec, {
    created: c.of('2026-01-01T00:00:00Z', '2026-01-02T00:00:00Z', '2026-01-03T00:00:00Z'),
    annotations: c.of({}, {}, {}, { [algorithmAnnotation]: 'maglev' }),
    labels: c.rarely(12) ? { 'service.kubernetes.io/service-proxy-name': 'mesh' } : {},
    ingress: c.of(
      [],
      [{ ip: '203.0.113.9' }],
      [{ ip: '203.0.113.1', ipMode: 'VIP' }, { ip: '2001:db8::9' }],
      [{ ip: '203.0.113.8', ipMode: 'Proxy' }],
    ),
  })
}

export function anySlice(c: Chance): EndpointSlice {
  const family = c.of(4, 4, 6)
  const address = (n: number) => (family === 4 ? `10.0.0.${n}` : `fd00:1::${n}`)
  const endpoints = Array.from({ length: c.below(7) }, () => [address(c.below(9) + 1), anyEndpoint(c)] as const)
  const ports = c.of(
    [{ port: 8080 }],
    [
      { name: 'dns', protocol: 'UDP', port: 53 },
      { name: 'dns-tcp', protocol: 'TCP', port: 53 },
    ],
    [{ port: 8081 }, { name: 'sctp', protocol: 'SCTP', port: c.of(8080, 8080, 9999) }],
  )
  return slice(anyKey(c), `${c.of('x', 'y', 'z')}${family}`, Object.fromEntries(endpoints), ports)
}

function anyEndpoint(c: Chance): EndpointInput {
  return {
    ...c.of<EndpointInput>({}, {}, {}, { ready: false }, { ready: false, serving: true, terminating: true }),
    node: c.of('cn-a', 'cn-b', 'cn-c'),
    ...c.of<EndpointInput>({}, { zones: ['a'] }, { zones: ['b', 'a'] }, { nodes: ['cn-a'], zones: ['a'] }),
  }
}
