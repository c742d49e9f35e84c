// SPDX-License-Identifier: Apache-2.0
import type { Balancer, BalancerListener } from '../../sim/model/rows.ts'
import { withPort } from '../../src/net/ip.ts'

/** What the cloud controller manager reads of Services, Nodes and EndpointSlices. */
export interface Service {
  readonly metadata: {
    readonly uid: string
    readonly name: string
    readonly namespace: string
    readonly deletionTimestamp?: string
    readonly annotations?: Readonly<Record<string, string>>
  }
  readonly spec: {
    readonly type?: string
    readonly ipFamilies?: readonly ('IPv4' | 'IPv6')[]
    readonly ports?: readonly ServicePort[]
    readonly loadBalancerClass?: string
    readonly externalTrafficPolicy?: 'Cluster' | 'Local'
    readonly loadBalancerSourceRanges?: readonly string[]
    readonly healthCheckNodePort?: number
  }
  readonly status?: { readonly loadBalancer?: { readonly ingress?: readonly Ingress[] } }
}
interface ServicePort {
  readonly name?: string
  readonly protocol?: string
  readonly port: number
  readonly nodePort?: number
}
interface Ingress {
  readonly ip?: string
  readonly ipMode?: string
}
export interface Node {
  readonly metadata: { readonly name: string; readonly deletionTimestamp?: string; readonly labels?: Readonly<Record<string, string>> }
  readonly status?: { readonly addresses?: readonly { readonly type: string; readonly address: string }[] }
}
export interface Slice {
  readonly metadata: { readonly namespace: string; readonly labels?: Readonly<Record<string, string>> }
  readonly ports?: readonly { readonly name?: string; readonly port?: number }[]
  readonly endpoints?: readonly { readonly addresses: readonly string[]; readonly conditions?: { readonly ready?: boolean } }[]
}

const annotation = {
  scheme: 'service.beta.kubernetes.io/alibaba-cloud-loadbalancer-address-type',
  backends: 'service.beta.kubernetes.io/backend-type',
} as const
const excluded = 'node.kubernetes.io/exclude-from-external-load-balancers'
/** Where kube-proxy, or whoever stands in for it, says that a node translates. */
const proxyHealthPort = 10256

/** Whether a Service is to have a balancer of ours. Pure, as all here. */
export function isOurs({ metadata, spec }: Service): boolean {
  return spec.type === 'LoadBalancer' && spec.loadBalancerClass === undefined && metadata.deletionTimestamp === undefined
}

/** The balancer of a Service carries its uid: another Service of the same name has another one. */
export const nameOf = ({ metadata }: Service): string => metadata.uid

export function schemeOf({ metadata }: Service): Balancer['scheme'] {
  return metadata.annotations?.[annotation.scheme] === 'intranet' ? 'intranet' : 'internet'
}

export function familiesOf({ spec }: Service): readonly (4 | 6)[] {
  return (spec.ipFamilies ?? ['IPv4']).map(family => (family === 'IPv4' ? 4 : 6))
}

/** Pods themselves are the targets, not ports of nodes. */
export const hasPodTargets = ({ metadata }: Service): boolean => metadata.annotations?.[annotation.backends] === 'eni'

/** Nodes that balancers may use: no matter whether they are Ready, since the balancer itself asks whether they are well. */
export function usable(nodes: readonly Node[]): readonly Node[] {
  return nodes.filter(({ metadata }) => metadata.deletionTimestamp === undefined && metadata.labels?.[excluded] === undefined)
}

/** Where a node says whether it has a backend (policy Local), or whether it translates at all. */
export function checkOf({ spec }: Service, node: Node): string {
  const [ip = ''] = addressesOf(node)
  const port = (spec.externalTrafficPolicy === 'Local' ? spec.healthCheckNodePort : undefined) ?? proxyHealthPort
  return `http://${withPort(ip, port)}/healthz`
}

export function addressesOf(node: Node): readonly string[] {
  return (node.status?.addresses ?? []).filter(a => a.type === 'InternalIP').map(a => a.address)
}

/** Of a Service before ports of nodes. `well` answers for a check. */
export function nodeListeners(service: Service, nodes: readonly Node[], well: (check: string) => boolean): readonly BalancerListener[] {
  const targets = nodes.filter(node => well(checkOf(service, node))).flatMap(addressesOf)
  return portsOf(service).flatMap(({ protocol, port, nodePort }) =>
    nodePort === undefined ? [] : [{ protocol, port, targets: targets.map(ip => ({ ip, port: nodePort })), ...limits(service) }],
  )
}

/** Of a Service whose pods are targets by their own addresses. */
export function podListeners(service: Service, slices: readonly Slice[]): readonly BalancerListener[] {
  const own = slices.filter(
    ({ metadata }) =>
      metadata.namespace === service.metadata.namespace && metadata.labels?.['kubernetes.io/service-name'] === service.metadata.name,
  )
  const limit = limits(service)
  return portsOf(service).map(({ protocol, port, name }) => ({
    protocol,
    port,
    targets: own.flatMap(slice => readyOf(slice, name)),
    ...limit,
  }))
}

/** A node knows a packet that the balancer has sent to its port no more by the balancer's address: who may come is the balancer's to look at. */
function limits({ spec }: Service): Pick<BalancerListener, 'sources'> {
  const { loadBalancerSourceRanges: ranges = [] } = spec
  return ranges.length === 0 ? {} : { sources: ranges.map(range => range.trim()) }
}

function readyOf({ endpoints, ports }: Slice, name: string | undefined): BalancerListener['targets'] {
  const port = ports?.find(p => (p.name ?? '') === (name ?? ''))?.port
  if (port === undefined) return []
  return (endpoints ?? []).filter(e => e.conditions?.ready !== false).flatMap(e => e.addresses.map(ip => ({ ip, port })))
}

function portsOf({ spec }: Service) {
  return (spec.ports ?? []).flatMap(({ protocol = 'TCP', ...port }) => {
    if (protocol !== 'TCP' && protocol !== 'UDP') return []
    return [{ ...port, protocol: protocol === 'TCP' ? ('tcp' as const) : ('udp' as const) }]
  })
}

/** The status that says where a Service is reached; undefined when it says so already. */
export function statusFor(service: Service, addresses: readonly string[]): object | undefined {
  const ingress = addresses.map(ip => ({ ip, ipMode: 'VIP' }))
  const has = (service.status?.loadBalancer?.ingress ?? []).map(({ ip, ipMode }) => ({ ip, ipMode }))
  if (JSON.stringify(has) === JSON.stringify(ingress)) return undefined
  return { status: { loadBalancer: { ingress: ingress.length === 0 ? null : ingress } } }
}

/** A target leaves after so many failed checks in a row, and comes back with the first good one. */
export const failuresAllowed = 2

/** What the checks of one round make of those before: failures in a row by check. */
export function counted(before: ReadonlyMap<string, number>, round: ReadonlyMap<string, boolean>): ReadonlyMap<string, number> {
  // What was never asked before has no credit: a new node is a target when it has answered.
  return new Map([...round].map(([check, well]) => [check, well ? 0 : (before.get(check) ?? failuresAllowed) + 1]))
}
