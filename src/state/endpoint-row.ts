// SPDX-License-Identifier: Apache-2.0
import type { EndpointSlice } from '#kube/reflect/endpoint-slice.ts'
import { type Family, familyOf, type Ip, tryParseLegacyIp } from '#net/ip.ts'
import { isPort, protocols, type Target, target } from './target.ts'

/** One endpoint as a slice has it. A cluster has many of them: equal lists of names are one list. */
export interface EndpointRow {
  readonly ip: Ip
  readonly ready: boolean
  readonly serving: boolean
  readonly terminating: boolean
  /** '' = on no node that is known. */
  readonly node: string
  /** Hints: which zones' and which nodes' clients it is meant for. */
  readonly forZones: readonly string[]
  readonly forNodes: readonly string[]
}

export interface SlicePort {
  readonly name: string
  readonly protocol: number
  readonly port: number
  /** Of each endpoint, in their order. */
  readonly targets: readonly Target[]
}

export interface SliceRow {
  readonly name: string
  /** `namespace/name` of its Service. */
  readonly service: string
  readonly family: Family
  readonly ports: readonly SlicePort[]
  readonly endpoints: readonly EndpointRow[]
}

const none: readonly string[] = []

/** Undefined for a slice of no Service. */
export function sliceRow(slice: EndpointSlice): SliceRow | undefined {
  const { metadata } = slice
  const service = metadata.labels?.['kubernetes.io/service-name'] ?? ''
  if (service === '') return undefined
  const family = slice.addressType === 'IPv6' ? 6 : 4
  const endpoints = slice.endpoints.flatMap(e => endpointRow(e, family) ?? [])
  return {
    name: metadata.name,
    service: `${metadata.namespace ?? ''}/${service}`,
    family,
    ports: slice.ports.flatMap(p => slicePort(p, endpoints) ?? []),
    endpoints,
  }
}

/** Without a number a port means all of them, which no Service can; and there is no port 70000, whatever a slice says. */
function slicePort(p: EndpointSlice['ports'][number], endpoints: readonly EndpointRow[]): SlicePort | undefined {
  const { name = '', port } = p
  const protocol = protocols[p.protocol ?? 'TCP']
  return port && isPort(port) && protocol ? { name, protocol, port, targets: endpoints.map(e => target(e.ip, port, protocol)) } : undefined
}

/** Only its first address counts: the others are for nobody (the API says so). What is not said of a condition is true, but for terminating. */
function endpointRow(e: EndpointSlice['endpoints'][number], family: Family): EndpointRow | undefined {
  const ip = tryParseLegacyIp(e.addresses[0] ?? '')
  if (ip === undefined || familyOf(ip) !== family) return undefined
  const { ready = true, serving = true, terminating = false } = e.conditions ?? {}
  const names = (list: readonly { readonly name: string }[] | undefined) =>
    list === undefined || list.length === 0 ? none : list.map(n => n.name)
  return { ip, ready, serving, terminating, node: e.nodeName ?? '', forZones: names(e.hints?.forZones), forNodes: names(e.hints?.forNodes) }
}
