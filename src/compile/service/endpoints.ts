// SPDX-License-Identifier: Apache-2.0
import type { Family } from '#net/ip.ts'
import type { EndpointRow, SliceRow } from '#state/endpoint-row.ts'
import type { NodeFacts } from '#state/node-facts.ts'
import type { Target } from '#state/target.ts'

/** An endpoint, and where it answers for one port of a Service. */
export interface PortEndpoint {
  readonly row: EndpointRow
  readonly target: Target
}

export interface PortQuery {
  readonly name: string
  readonly protocol: number
  readonly family: Family
}

type Place = Pick<NodeFacts, 'name' | 'zone'>

/**
 * The endpoints of a Service's port, each once: a pod that moves from one slice to another is in both for a while. What says that it is on this
 * node wins, then what says that it is ready.
 */
export function endpointsOfPort(slices: readonly SliceRow[], port: PortQuery, node: string): readonly PortEndpoint[] {
  const found = new Map<string, PortEndpoint>()
  for (const slice of slices) {
    if (slice.family !== port.family) continue
    for (const { name, protocol, targets } of slice.ports) {
      if (name !== port.name || protocol !== port.protocol) continue
      for (const [i, target] of targets.entries()) {
        const row = slice.endpoints[i]
        if (row === undefined) continue
        const other = found.get(target.key)
        if (other === undefined || isBetter(row, other.row, node)) found.set(target.key, { row, target })
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
export function clusterEndpoints(endpoints: readonly PortEndpoint[], place: Place): readonly PortEndpoint[] {
  const ready = endpoints.filter(e => e.row.ready)
  return ready.length > 0 ? nearest(ready, place) : endpoints.filter(isLeaving)
}

/** Whom clients of policy Local may get. Hints do not matter: everybody is on one node. */
export function localEndpoints(endpoints: readonly PortEndpoint[], node: string): readonly PortEndpoint[] {
  const here = endpoints.filter(e => isLocal(e.row, node))
  const ready = here.filter(e => e.row.ready)
  return ready.length > 0 ? ready : here.filter(isLeaving)
}

function isLeaving({ row }: PortEndpoint): boolean {
  return row.serving && row.terminating
}

/** Hints count when every endpoint has one and one of them names this node, or else its zone: what is hinted in part is being changed. */
function nearest(ready: readonly PortEndpoint[], place: Place): readonly PortEndpoint[] {
  const hinted = (names: (row: EndpointRow) => readonly string[], here: string): readonly PortEndpoint[] =>
    ready.every(e => names(e.row).length > 0) ? ready.filter(e => names(e.row).includes(here)) : []
  const ofNode = hinted(row => row.forNodes, place.name)
  if (ofNode.length > 0) return ofNode
  const ofZone = hinted(row => row.forZones, place.zone)
  return ofZone.length > 0 ? ofZone : ready
}
