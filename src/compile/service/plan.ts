// SPDX-License-Identifier: Apache-2.0
import { serviceFlag } from '#kernel/bpf/words.ts'
import type { Service } from '#kube/reflect/service.ts'
import type { Cidr } from '#net/cidr.ts'
import { type Family, familyOf, tryParseLegacyIp } from '#net/ip.ts'
import type { SliceRow } from '#state/endpoint-row.ts'
import type { NodeFacts } from '#state/node-facts.ts'
import { isPort, protocols, type Target, target } from '#state/target.ts'
import { clusterEndpoints, endpointsOfPort, isLocal, localEndpoints, type PortEndpoint } from './endpoints.ts'
import { type Address, addressesOf } from './reach.ts'

export interface SetPlan {
  /** Unlike those of the Service's other sets. */
  readonly name: string
  readonly backends: readonly Target[]
  /** Each backend can be asked whether it is one of the set's. */
  readonly affinity: boolean
}

/** Who answers a frontend in one scope. */
export interface Use {
  readonly set: string
  readonly flags: number
  readonly affinitySeconds: number
}

export interface FrontendPlan extends Target {
  readonly kind: Address['kind']
  readonly inside: Use
  /** Undefined: nobody from outside asks for it. */
  readonly outside: Use | undefined
  /** Who may come; empty = everybody. */
  readonly sourceRanges: readonly Cidr[]
}

export interface HealthPlan {
  readonly port: number
  readonly localEndpoints: number
}

/** What a Service comes to on this node, before anything has a number. */
export interface ServicePlan {
  readonly sets: readonly SetPlan[]
  readonly frontends: readonly FrontendPlan[]
  /** Frontends that cannot be served: an SCTP packet is translated by address only, since its checksum covers the ports. */
  readonly unsupported: readonly Target[]
  /** Frontends of SCTP that lead clients outside to backends of the node that they ask alone, though the Service's policy is Cluster. */
  readonly localOnly: readonly Target[]
  /** Backends are to follow from the client (Maglev); undefined = as is usual here. */
  readonly maglev: boolean | undefined
  readonly health: HealthPlan | undefined
}

const nothing: ServicePlan = { sets: [], frontends: [], unsupported: [], localOnly: [], maglev: undefined, health: undefined }

/** `maglev` or `random`. */
export const algorithmAnnotation = 'k8s.aliyun.com/service-algorithm'

export function compileService(service: Service, slices: readonly SliceRow[], node: NodeFacts): ServicePlan {
  const { spec, metadata } = service
  const families = familiesOf(service)
  if (spec.type === 'ExternalName' || families.length === 0) return nothing
  const parts = families.flatMap(family => (spec.ports ?? []).map(port => compilePort({ service, slices, node, family, port })))
  const algorithm = metadata.annotations?.[algorithmAnnotation]
  return {
    sets: parts.flatMap(p => p.sets),
    frontends: merged(parts.flatMap(p => p.frontends)),
    unsupported: parts.flatMap(p => p.unsupported),
    localOnly: parts.flatMap(p => p.localOnly),
    maglev: algorithm === undefined ? undefined : algorithm === 'maglev',
    health: healthOf(service, slices, node, families[0] ?? 4),
  }
}

/** Those of its own addresses, the first one first. A headless Service has none. */
function familiesOf({ spec }: Service): readonly Family[] {
  const ips = (spec.clusterIPs ?? [spec.clusterIP ?? '']).flatMap(text => tryParseLegacyIp(text) ?? [])
  return [...new Set(ips.map(familyOf))]
}

interface PortInput {
  readonly service: Service
  readonly slices: readonly SliceRow[]
  readonly node: NodeFacts
  readonly family: Family
  readonly port: NonNullable<Service['spec']['ports']>[number]
}

function compilePort(input: PortInput): Pick<ServicePlan, 'sets' | 'frontends' | 'unsupported' | 'localOnly'> {
  const { service, slices, node, family, port } = input
  const protocolName = port.protocol ?? 'TCP'
  const protocol = protocols[protocolName]
  if (protocol === undefined) return { sets: [], frontends: [], unsupported: [], localOnly: [] }
  const endpoints = endpointsOfPort(slices, { name: port.name ?? '', protocol, family }, node.name)
  const set = (kind: 'cluster' | 'local', chosen: readonly PortEndpoint[]): SetPlan => ({
    name: `${port.name ?? ''} ${protocolName} ${family} ${kind}`,
    backends: chosen.map(e => e.target),
    affinity: affinityOf(service) > 0,
  })
  const cluster = set('cluster', clusterEndpoints(endpoints, node))
  const local = set('local', localEndpoints(endpoints, node.name))
  const addresses = addressesOf(service, node, family, port).filter(a => isPort(a.port))
  const frontends = addresses.map(a => frontendOf(service, a, protocol, { cluster, local }))
  const isSctp = protocol === protocols.SCTP
  const unsupported = isSctp ? frontends.filter(f => endpoints.some(e => e.target.port !== f.port)) : []
  const served = frontends.filter(f => !unsupported.includes(f))
  const wantsAll = isSctp && service.spec.externalTrafficPolicy !== 'Local' && endpoints.length > 0
  const used = new Set(served.flatMap(f => [f.inside.set, f.outside?.set]))
  return {
    sets: [cluster, local].filter(s => used.has(s.name)),
    frontends: served,
    unsupported,
    localOnly: wantsAll ? served.filter(f => f.outside !== undefined) : [],
  }
}

function frontendOf(service: Service, a: Address, protocol: number, sets: Readonly<Record<'cluster' | 'local', SetPlan>>): FrontendPlan {
  const { internalTrafficPolicy, externalTrafficPolicy } = service.spec
  const ranges = a.sourceRanges.length > 0 ? serviceFlag.sourceRanges : 0
  // A Service that has no backend anywhere refuses, whatever its policy.
  const silent = sets.cluster.backends.length > 0 ? serviceFlag.local : 0
  const affinitySeconds = affinityOf(service)
  const ofNode = (more: number): Use => ({ set: sets.local.name, flags: ranges | silent | more, affinitySeconds })
  const ofAll: Use = { set: sets.cluster.name, flags: ranges, affinitySeconds }
  // Of SCTP no port can be changed, so that of another node's backend the answers could not be told apart.
  const keepsSource = externalTrafficPolicy === 'Local' || protocol === protocols.SCTP
  const isClusterIp = a.kind === 'ClusterIP'
  return {
    ...target(a.ip, a.port, protocol),
    kind: a.kind,
    // The node's own clients and its pods reach every backend by an external address too: it is the client outside that must be kept.
    inside: isClusterIp && internalTrafficPolicy === 'Local' ? ofNode(0) : ofAll,
    outside: isClusterIp ? undefined : keepsSource ? ofNode(serviceFlag.keepSource) : ofAll,
    sourceRanges: a.sourceRanges,
  }
}

/** Of a ClientIP affinity the API takes from a second to a day. */
const longestAffinity = 86_400

function affinityOf({ spec }: Service): number {
  const seconds = spec.sessionAffinity === 'ClientIP' ? (spec.sessionAffinityConfig?.clientIP?.timeoutSeconds ?? 10800) : 0
  return Math.min(Math.max(0, seconds), longestAffinity)
}

/** An address can be said twice: what is said first counts, but for limits of who may come. */
function merged(frontends: readonly FrontendPlan[]): readonly FrontendPlan[] {
  const found = new Map<string, FrontendPlan>()
  for (const f of frontends) {
    const other = found.get(f.key)
    if (other === undefined || (other.sourceRanges.length === 0 && f.sourceRanges.length > 0)) found.set(f.key, f)
  }
  return [...found.values()]
}

/** Whom the load balancer asks whether to send packets here: pods of this node, each counted once whatever its ports are. */
function healthOf({ spec }: Service, slices: readonly SliceRow[], node: NodeFacts, family: Family): HealthPlan | undefined {
  if (spec.type !== 'LoadBalancer' || spec.externalTrafficPolicy !== 'Local' || !spec.healthCheckNodePort) return undefined
  const here = slices.filter(s => s.family === family).flatMap(s => s.endpoints.filter(e => e.ready && isLocal(e, node.name)))
  return { port: spec.healthCheckNodePort, localEndpoints: new Set(here.map(e => e.ip)).size }
}
