// SPDX-License-Identifier: Apache-2.0
import { type Collection, nodes, serviceCidrs, services, slices } from '../node/api.ts'
import { type Addresses, type BenchService, type Family, servicePort } from './services.ts'

const families: readonly Family[] = [4, 6]

/** These Services, their endpoints and one node, as Kubernetes has them. */
export function collectionsOf(
  of: readonly BenchService[],
  node: { readonly name: string; readonly ips: Addresses },
): Readonly<Record<string, Collection>> {
  const sliceNumber = (n: number) => ({ found: of[n >> 1], family: families[n & 1] ?? 4 })
  return {
    [services]: { apiVersion: 'v1', kind: 'Service', count: of.length, item: (n, version) => serviceObject(of[n], version) },
    [slices]: {
      apiVersion: 'discovery.k8s.io/v1',
      kind: 'EndpointSlice',
      count: of.length * families.length,
      item: (n, version) => sliceObject(sliceNumber(n), version),
    },
    [nodes]: {
      apiVersion: 'v1',
      kind: 'Node',
      count: 1,
      item: (_, version) => ({
        metadata: { name: node.name, uid: node.name, resourceVersion: version },
        spec: {},
        status: { addresses: families.map(family => ({ type: 'InternalIP', address: node.ips[`v${family}`] })) },
      }),
    },
    [serviceCidrs]: { apiVersion: 'networking.k8s.io/v1', kind: 'ServiceCIDR', count: 0, item: none },
  }
}

function none(): never {
  throw new Error('there is none')
}

function serviceObject(of: BenchService | undefined, version: string): object {
  if (of === undefined) throw new Error('no such Service')
  const { name, protocol, ips, endpoints } = of
  return {
    metadata: metadata(name, version),
    spec: {
      type: 'ClusterIP',
      clusterIP: ips.v4,
      clusterIPs: [ips.v4, ips.v6],
      ipFamilies: ['IPv4', 'IPv6'],
      ipFamilyPolicy: 'RequireDualStack',
      internalTrafficPolicy: 'Cluster',
      ports: [{ name: 'main', protocol, port: servicePort, targetPort: endpoints[0]?.port }],
      sessionAffinity: 'None',
    },
    status: { loadBalancer: {} },
  }
}

function sliceObject({ found, family }: { readonly found: BenchService | undefined; readonly family: Family }, version: string): object {
  if (found === undefined) throw new Error('no such Service')
  const { name, protocol, endpoints } = found
  return {
    metadata: { ...metadata(`${name}-v${family}`, version), labels: { 'kubernetes.io/service-name': name } },
    addressType: `IPv${family}`,
    endpoints: endpoints.map(({ ips }) => ({
      addresses: [ips[`v${family}`]],
      conditions: { ready: true, serving: true, terminating: false },
    })),
    ports: [{ name: 'main', protocol, port: endpoints[0]?.port }],
  }
}

function metadata(name: string, resourceVersion: string): object {
  return { name, namespace: 'default', uid: `uid-${name}`, resourceVersion, creationTimestamp: '2026-01-01T00:00:00Z' }
}
