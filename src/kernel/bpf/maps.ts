// SPDX-License-Identifier: Apache-2.0
import type { Fields, Struct } from '#kernel/bpf/layout.ts'
import * as s from '#kernel/bpf/structs.ts'

/** BPF_MAP_TYPE_*. */
export const mapType = { hash: 1, array: 2, percpuHash: 5, percpuArray: 6, lruHash: 9, lpmTrie: 11, ringBuffer: 27 } as const
/** BPF_F_NO_PREALLOC: memory is taken as entries come; longest prefix maps must have it, and large ones that most clusters use little of. */
const noPrealloc = 1
const sparse: readonly string[] = ['services', 'frontends', 'backend_sets', 'backend_slots', 'backends']

export interface MapSpec<K extends Fields = Fields, V extends Fields = Fields> {
  readonly name: MapName
  /** In the pin's name: another number is another map, so that two generations of programs run beside each other. */
  readonly layout: number
  readonly type: (typeof mapType)[keyof typeof mapType]
  readonly flags: number
  /** Of a ring buffer: its bytes. */
  readonly entries: number
  readonly key: Struct<K>
  readonly value: Struct<V>
}

const spec = <const N extends string, K extends Fields, V extends Fields>(
  name: N,
  type: keyof typeof mapType,
  entries: number,
  key: Struct<K>,
  value: Struct<V>,
) => ({ name, layout: 1, type: mapType[type], flags: type === 'lpmTrie' || sparse.includes(name) ? noPrealloc : 0, entries, key, value })

/** Every map of the programs, by the name it has in C. docs/maps.md argues each key. */
export const maps = {
  control: spec('control', 'array', 8, s.index, s.word),
  endpoints: spec('endpoints', 'hash', 4096, s.endpointKey, s.endpoint),
  addresses: spec('addresses', 'hash', 8192, s.addressKey, s.address),
  host_set: spec('host_set', 'lpmTrie', 1024, s.prefixKey, s.hostSet),
  flows: spec('flows', 'lruHash', 131072, s.flowKey, s.flow),
  new_flows: spec('new_flows', 'lruHash', 32768, s.flowKey, s.flow),
  host_notes: spec('host_notes', 'lruHash', 65536, s.hostNoteKey, s.hostNote),
  fragments: spec('fragments', 'lruHash', 8192, s.fragmentKey, s.fragment),
  drops: spec('drops', 'percpuArray', 64, s.index, s.counter),
  paths: spec('paths', 'percpuArray', 32, s.index, s.counter),
  endpoint_counters: spec('endpoint_counters', 'percpuHash', 4096, s.endpointKey, s.endpointCounter),
  endpoint_policies: spec('endpoint_policies', 'hash', 4096, s.endpointKey, s.endpointPolicy),
  identities: spec('identities', 'lpmTrie', 65536, s.prefixKey, s.identity),
  policies: spec('policies', 'lpmTrie', 65536, s.policyKey, s.policy),
  services: spec('services', 'hash', 65536, s.serviceKey, s.service),
  frontends: spec('frontends', 'hash', 65536, s.frontendKey, s.frontend),
  backend_sets: spec('backend_sets', 'hash', 65536, s.backendSetKey, s.backendSet),
  backend_slots: spec('backend_slots', 'hash', 524288, s.slotKey, s.slot),
  backends: spec('backends', 'hash', 131072, s.backendKey, s.backend),
  affinities: spec('affinities', 'lruHash', 32768, s.affinityKey, s.affinity),
  source_ranges: spec('source_ranges', 'lpmTrie', 16384, s.sourceRangeKey, s.sourceRange),
  service_states: spec('service_states', 'array', 8, s.index, s.serviceState),
  node_configs: spec('node_configs', 'array', 1, s.index, s.nodeConfig),
  node_flows: spec('node_flows', 'lruHash', 65536, s.flowKey, s.nodeFlow),
  new_node_flows: spec('new_node_flows', 'lruHash', 32768, s.flowKey, s.nodeFlow),
  socket_peers: spec('socket_peers', 'lruHash', 16384, s.socketKey, s.socketPeer),
  namespaces: spec('namespaces', 'hash', 256, s.netnsKey, s.netns),
  events: spec('events', 'ringBuffer', 262144, s.noKey, s.event),
  credits: spec('credits', 'array', 8, s.index, s.word),
  table_sums: spec('table_sums', 'percpuArray', 4, s.index, s.tableSums),
  flows_made: spec('flows_made', 'percpuArray', 15, s.index, s.word),
  endpoint_flows: spec('endpoint_flows', 'hash', 4096, s.endpointKey, s.endpointFlows),
  event_rates: spec('event_rates', 'percpuArray', 2, s.index, s.eventRate),
} as const

/** In hex: of a network namespace, by the kernel's cookie of it. */
export function namespaceKeyOf(cookie: bigint): string {
  return maps.namespaces.key.encode({ cookie }).toString('hex')
}
export type MapName = keyof typeof maps
