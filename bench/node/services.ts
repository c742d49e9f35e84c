// SPDX-License-Identifier: Apache-2.0
import { ListApi, nodes, services, slices } from './api.ts'

/** How many backends a Service has. */
export const endpointsEach = 10

/** An API server with so many Services, as a cluster has them, and one node. */
export function servicesApi(count: number, node: string): ListApi {
  return new ListApi({
    [services]: { apiVersion: 'v1', kind: 'Service', count, item: service },
    [slices]: { apiVersion: 'discovery.k8s.io/v1', kind: 'EndpointSlice', count, item: (n, version) => slice(n, version, endpointsEach) },
    [nodes]: { apiVersion: 'v1', kind: 'Node', count: 1, item: (_, version) => nodeObject(node, version) },
  })
}

/** Tells whoever watches that a Service has so many endpoints now. */
export function changeEndpoints(api: ListApi, n: number, endpoints: number): void {
  api.change(slices, version => ({ kind: 'EndpointSlice', ...slice(n, version, endpoints) }))
}

export function clusterIp(service: number): string {
  return `172.21.${service >> 8}.${service & 255}`
}

function service(n: number, version: string): object {
  const ip = clusterIp(n)
  return {
    metadata: {
      ...metadata(`service-${n}`, version),
      annotations: { 'kubectl.kubernetes.io/last-applied-configuration': '{}'.padEnd(600) },
    },
    spec: {
      type: 'ClusterIP',
      clusterIP: ip,
      clusterIPs: [ip],
      ipFamilies: ['IPv4'],
      ipFamilyPolicy: 'SingleStack',
      internalTrafficPolicy: 'Cluster',
      selector: { app: `app-${n}` },
      ports: [{ name: 'http', protocol: 'TCP', port: 80, targetPort: 8080 }],
      sessionAffinity: 'None',
    },
    status: { loadBalancer: {} },
  }
}

function slice(n: number, version: string, endpoints: number): object {
  const endpoint = (i: number) => ({
    addresses: [`10.${64 + (n >> 8)}.${n & 255}.${i + 1}`],
    conditions: { ready: true, serving: true, terminating: false },
    nodeName: `node-${(n * endpointsEach + i) % 1000}`,
    targetRef: {
      kind: 'Pod',
      namespace: 'default',
      name: `app-${n}-${i}`,
      uid: `00000000-0000-4000-8000-${String(n * 100 + i).padStart(12, '0')}`,
    },
    zone: 'zone-a',
  })
  return {
    metadata: {
      ...metadata(`service-${n}-abcde`, version),
      generateName: `service-${n}-`,
      labels: {
        'kubernetes.io/service-name': `service-${n}`,
        'endpointslice.kubernetes.io/managed-by': 'endpointslice-controller.k8s.io',
      },
    },
    addressType: 'IPv4',
    endpoints: Array.from({ length: endpoints }, (_, i) => endpoint(i)),
    ports: [{ name: 'http', protocol: 'TCP', port: 8080 }],
  }
}

function nodeObject(name: string, version: string): object {
  const addresses = [{ type: 'InternalIP', address: '127.0.0.1' }]
  return { metadata: metadata(name, version), spec: {}, status: { addresses } }
}

function metadata(name: string, resourceVersion: string): object {
  return { name, namespace: 'default', uid: `uid-${name}`, resourceVersion, creationTimestamp: '2026-01-01T00:00:00Z' }
}
