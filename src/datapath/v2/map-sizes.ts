// SPDX-License-Identifier: Apache-2.0
import { type MapName, maps } from '#kernel/bpf/maps.ts'

/** The other tables of connections grow with that of flows, in the proportion that they have by default. */
const beside = ['new_flows', 'host_notes', 'node_flows', 'new_node_flows'] as const satisfies readonly MapName[]

/** Entries of the maps that are made, for so many flows; undefined = the default sizes. */
export function mapSizes(flowEntries: number | undefined): Partial<Record<MapName, number>> {
  if (flowEntries === undefined) return {}
  const scaled = beside.map(name => [name, Math.max(1024, Math.round((maps[name].entries / maps.flows.entries) * flowEntries))])
  return { flows: flowEntries, ...Object.fromEntries(scaled) }
}
