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

/** Undefined for a slice of no Service. What is as in `before`, which was read of it earlier, is the same object: a change is mostly of one endpoint among many. */
export function sliceRow(slice: EndpointSlice, before?: SliceRow): SliceRow | undefined {
  const { metadata } = slice
  const service = metadata.labels?.['kubernetes.io/service-name'] ?? ''
  if (service === '') return undefined
  const family = slice.addressType === 'IPv6' ? 6 : 4
  const known = new Known(before?.family === family ? before : undefined)
  const endpoints = slice.endpoints.flatMap(e => endpointRow(e, family, known) ?? [])
  return {
    name: metadata.name,
    service: `${metadata.namespace ?? ''}/${service}`,
    family,
    ports: slice.ports.flatMap(p => slicePort(p, endpoints, known) ?? []),
    endpoints,
  }
}

/** An earlier row, by address. */
class Known {
  readonly #row: SliceRow | undefined
  /** Where the last one was that was asked for. */
  #last = -1

  constructor(row: SliceRow | undefined) {
    this.#row = row
  }

  endpoint(ip: string): EndpointRow | undefined {
    return this.#row?.endpoints[this.#placeOf(ip)]
  }

  /** Makes the target of an endpoint for this port, or finds it. */
  targets(name: string, protocol: number, port: number): (ip: Ip) => Target {
    const old = this.#row?.ports.find(p => p.name === name && p.protocol === protocol && p.port === port)
    return ip => old?.targets[this.#placeOf(ip)] ?? target(ip, port, protocol)
  }

  /** -1 = nowhere. Mostly it is the next one: comparing two texts is much less than finding a new one in a Map. */
  #placeOf(ip: string): number {
    const endpoints = this.#row?.endpoints ?? []
    const next = this.#last + 1
    this.#last = endpoints[next]?.ip === ip ? next : endpoints.findIndex(e => e.ip === ip)
    return this.#last
  }
}

/** Without a number a port means all of them, which no Service can; and there is no port 70000, whatever a slice says. */
function slicePort(p: EndpointSlice['ports'][number], endpoints: readonly EndpointRow[], known: Known): SlicePort | undefined {
  const { name = '', port } = p
  const protocol = protocols[p.protocol ?? 'TCP']
  if (!port || !isPort(port) || !protocol) return undefined
  const targetOf = known.targets(name, protocol, port)
  return { name, protocol, port, targets: endpoints.map(e => targetOf(e.ip)) }
}

/** Only its first address counts: the others are for nobody (the API says so). What is not said of a condition is true, but for terminating. */
function endpointRow(e: EndpointSlice['endpoints'][number], family: Family, known: Known): EndpointRow | undefined {
  const [text = ''] = e.addresses
  const old = known.endpoint(text)
  const ip = old?.ip ?? tryParseLegacyIp(text)
  if (ip === undefined || familyOf(ip) !== family) return undefined
  const { ready = true, serving = true, terminating = false } = e.conditions ?? {}
  const { nodeName: node = '', hints } = e
  const isSame = old?.ready === ready && old.serving === serving && old.terminating === terminating && old.node === node
  if (isSame && hints === undefined && old.forZones === none && old.forNodes === none) return old
  return { ip, ready, serving, terminating, node, forZones: namesIn(hints?.forZones), forNodes: namesIn(hints?.forNodes) }
}

function namesIn(list: readonly { readonly name: string }[] | undefined): readonly string[] {
  return list === undefined || list.length === 0 ? none : list.map(n => n.name)
}
