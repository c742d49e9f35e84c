// SPDX-License-Identifier: Apache-2.0
import { type EndpointSlice, endpointSlices } from '#kube/reflect/endpoint-slice.ts'
import { type Service, services } from '#kube/reflect/service.ts'
import { isIpv4, parseIp } from '#net/ip.ts'
import type { NodeFacts } from '#state/node-facts.ts'

/** Objects as an API server would serve them, from what a test wants to say of them. */

/** Where the tests are: node cn-a in zone a, with an address of each family. */
export const here: NodeFacts = { name: 'cn-a', zone: 'a', addresses: [parseIp('192.168.0.10'), parseIp('fd00::10')] }

type Spec = Partial<Record<keyof Service['spec'], unknown>>

export interface ServiceInput {
  readonly labels?: Readonly<Record<string, string>>
  readonly annotations?: Readonly<Record<string, string>>
  readonly created?: string
  readonly ingress?: readonly { readonly ip?: string; readonly ipMode?: string; readonly hostname?: string }[]
}

/** `namespace/name`; TCP port 80 at 10.96.0.1 when nothing else is said. */
export function service(key: string, spec: Spec = {}, { labels, annotations, created, ingress }: ServiceInput = {}): Service {
  const [namespace, name] = key.split('/')
  const clusterIPs = spec.clusterIPs ?? [spec.clusterIP ?? '10.96.0.1']
  return services.parse({
    metadata: { namespace, name, uid: `uid-${name}`, creationTimestamp: created ?? '2026-01-01T00:00:00Z', labels, annotations },
    spec: { type: 'ClusterIP', clusterIPs, ports: [{ port: 80, protocol: 'TCP' }], ...spec },
    ...(ingress && { status: { loadBalancer: { ingress } } }),
  })
}

export interface EndpointInput {
  readonly ready?: boolean
  readonly serving?: boolean
  readonly terminating?: boolean
  readonly node?: string
  readonly zones?: readonly string[]
  readonly nodes?: readonly string[]
}

/** `ready: true` and on node cn-b, when nothing else is said. */
export type Endpoints = Readonly<Record<string, EndpointInput>>
export interface PortInput {
  readonly name?: string
  readonly protocol?: string
  readonly port?: number
}

/** A slice `name` of the Service `key`, with the endpoints by address. */
export function slice(
  key: string,
  name: string,
  endpoints: Endpoints,
  ports: readonly PortInput[] = [{ port: 8080 }],
  labels = {},
): EndpointSlice {
  const [namespace, service] = key.split('/')
  const named = (names: readonly string[] | undefined) => names?.map(n => ({ name: n }))
  return endpointSlices.parse({
    metadata: { namespace, name, labels: { 'kubernetes.io/service-name': service, ...labels } },
    addressType: Object.keys(endpoints).every(ip => isIpv4(parseIp(ip))) ? 'IPv4' : 'IPv6',
    ports: ports.map(p => ({ name: '', protocol: 'TCP', ...p })),
    endpoints: Object.entries(endpoints).map(([ip, e]) => ({
      addresses: [ip],
      conditions: { ready: e.ready ?? true, serving: e.serving ?? e.ready ?? true, terminating: e.terminating ?? false },
      nodeName: e.node ?? 'cn-b',
      ...((e.zones || e.nodes) && { hints: { forZones: named(e.zones), forNodes: named(e.nodes) } }),
    })),
  })
}
