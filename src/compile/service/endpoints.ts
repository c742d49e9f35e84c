// SPDX-License-Identifier: Apache-2.0
import type { Family } from '#net/ip.ts'
import type { EndpointRow, SliceRow } from '#state/endpoint-row.ts'
import type { NodeFacts } from '#state/node-facts.ts'

/** An endpoint of one port of a Service. */
export interface PortEndpoint extends EndpointRow {
  readonly port: number
}

type Place = Pick<NodeFacts, 'name' | 'zone'>

/**
 * The endpoints of a Service's port, each once: a pod that moves from one slice to another is in both for a while. What says that it is on this
 * node wins, then what says that it is ready.
 */
export function endpointsOfPort(
  slices: readonly SliceRow[],
  port: string,
  protocol: string,
  family: Family,
  node: string,
): readonly PortEndpoint[] {
  const found = new Map<string, PortEndpoint>()
  for (const slice of slices) {
    if (slice.family !== family) continue
    for (const p of slice.ports) {
      if (p.name !== port || p.protocol !== protocol) continue
      for (const e of slice.endpoints) {
        const id = `${e.ip} ${p.port}`
        const other = found.get(id)
        if (other === undefined || isBetter(e, other, node)) found.set(id, { ...e, port: p.port })
      }
    }
  }
  return [...found.values()]
}

function isBetter(e: EndpointRow, other: EndpointRow, node: string): boolean {
  const [here, otherHere] = [isLocal(e, node), isLocal(other, node)]
  return here === otherHere ? e.ready && !other.ready : here
}

export function isLocal(e: EndpointRow, node: string): boolean {
  return node !== '' && e.node === node
}

/** Whom clients of policy Cluster may get: who is ready and meant for this place, else who goes away but still answers. */
export function clusterEndpoints<E extends EndpointRow>(endpoints: readonly E[], place: Place): readonly E[] {
  const ready = endpoints.filter(e => e.ready)
  return ready.length > 0 ? nearest(ready, place) : endpoints.filter(isLeaving)
}

/** Whom clients of policy Local may get. Hints do not matter: everybody is on one node. */
export function localEndpoints<E extends EndpointRow>(endpoints: readonly E[], node: string): readonly E[] {
  const here = endpoints.filter(e => isLocal(e, node))
  const ready = here.filter(e => e.ready)
  return ready.length > 0 ? ready : here.filter(isLeaving)
}

function isLeaving(e: EndpointRow): boolean {
  return e.serving && e.terminating
}

/** Hints count when every endpoint has one and one of them names this node, or else its zone: what is hinted in part is being changed. */
function nearest<E extends EndpointRow>(ready: readonly E[], place: Place): readonly E[] {
  const hinted = (names: (e: E) => readonly string[], here: string): readonly E[] =>
    ready.every(e => names(e).length > 0) ? ready.filter(e => names(e).includes(here)) : []
  const ofNode = hinted(e => e.forNodes, place.name)
  if (ofNode.length > 0) return ofNode
  const ofZone = hinted(e => e.forZones, place.zone)
  return ofZone.length > 0 ? ofZone : ready
}
