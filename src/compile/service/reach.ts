// SPDX-License-Identifier: Apache-2.0
import type { Service } from '#kube/reflect/service.ts'
import { type Cidr, familyOfCidr, tryParseLegacyCidr } from '#net/cidr.ts'
import { type Family, familyOf, type Ip, tryParseLegacyIp } from '#net/ip.ts'
import type { NodeFacts } from '#state/node-facts.ts'

/** Where a port of a Service is reached. */
export interface Address {
  readonly kind: 'ClusterIP' | 'NodePort' | 'ExternalIP' | 'LoadBalancer'
  readonly ip: Ip
  readonly port: number
  /** Who may come; empty = everybody. */
  readonly sourceRanges: readonly Cidr[]
}

type ServicePort = NonNullable<Service['spec']['ports']>[number]

/** Everywhere, of one family. */
export function addressesOf(service: Service, node: NodeFacts, family: Family, { port, nodePort }: ServicePort): readonly Address[] {
  const { spec, status } = service
  const ofFamily = (ips: readonly Ip[]) => ips.filter(ip => familyOf(ip) === family)
  const at = (kind: Address['kind'], ips: readonly Ip[], number: number, sourceRanges: readonly Cidr[] = []) =>
    ofFamily(ips).map((ip): Address => ({ kind, ip, port: number, sourceRanges }))
  // ipMode Proxy: the balancer itself speaks to nodes, so that packets to its address have to go through it.
  const balancers = (status?.loadBalancer?.ingress ?? []).filter(i => i.ipMode === undefined || i.ipMode === 'VIP')
  return [
    ...at('ClusterIP', parsed(spec.clusterIPs ?? [spec.clusterIP]), port),
    ...(nodePort ? at('NodePort', node.addresses, nodePort) : []),
    ...at('ExternalIP', parsed(spec.externalIPs ?? []), port),
    ...at('LoadBalancer', parsed(balancers.map(i => i.ip)), port, rangesOf(service, family)),
  ]
}

function parsed(texts: readonly (string | undefined)[]): readonly Ip[] {
  return texts.flatMap(text => tryParseLegacyIp(text ?? '') ?? [])
}

/** The API lets blanks around them pass. Ranges of the other family alone limit nobody in this one. */
function rangesOf({ spec }: Service, family: Family): readonly Cidr[] {
  const ranges = (spec.loadBalancerSourceRanges ?? []).flatMap(text => tryParseLegacyCidr(text.trim()) ?? [])
  return [...new Set(ranges.filter(c => familyOfCidr(c) === family))]
}
