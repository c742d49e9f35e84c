// SPDX-License-Identifier: Apache-2.0
import type { ValueOf } from '#kernel/bpf/layout.ts'
import { type MapName, maps, mapType } from '#kernel/bpf/maps.ts'

/** What is in the maps, as plain values. A row is found by the bytes of its key. Counters are not in it: see `Outcome`. */
export type World = { readonly [N in MapName]?: ReadonlyMap<string, Row<N>> }
export type KeyOf<N extends MapName> = ValueOf<(typeof maps)[N]['key']>
export type RowValue<N extends MapName> = ValueOf<(typeof maps)[N]['value']>
export interface Row<N extends MapName = MapName> {
  readonly key: KeyOf<N>
  readonly value: RowValue<N>
}

/** A difference from one world to the next. */
export interface Change<N extends MapName = MapName> {
  readonly map: N
  readonly key: KeyOf<N>
  /** undefined: it is gone. */
  readonly value: RowValue<N> | undefined
}

/** Maps that count, for those who look or for the programs themselves. */
export const counting: readonly MapName[] = [
  ...(['drops', 'paths', 'endpoint_counters', 'event_rates', 'events'] as const),
  ...(['table_sums', 'flows_made', 'credits'] as const),
]
export const mapNames = (Object.keys(maps) as MapName[]).filter(name => !counting.includes(name))
/** Maps that a packet may change. */
export const changing: readonly MapName[] = [
  'flows',
  'new_flows',
  'host_notes',
  'fragments',
  'affinities',
  'node_flows',
  'new_node_flows',
  'endpoint_flows',
]
/** Maps that are searched by the longest prefix. */
export type PrefixMap = 'host_set' | 'identities' | 'policies' | 'source_ranges'

/** Has all its rows from the beginning, and none goes. */
const arrays: readonly number[] = [mapType.array, mapType.percpuArray]
export const isArray = (map: MapName) => arrays.includes(maps[map].type)

export function encodeKey<N extends MapName>(map: N, key: Partial<KeyOf<N>>): Buffer {
  return maps[map].key.encode(key as never)
}

export function encodeValue<N extends MapName>(map: N, value: Partial<RowValue<N>>): Buffer {
  return maps[map].value.encode(value as never)
}

/** What is not named is zero, as in the maps. */
export function full<N extends MapName>(map: N, value: Partial<RowValue<N>>): RowValue<N> {
  return maps[map].value.decode(encodeValue(map, value)) as RowValue<N>
}

export function idOf<N extends MapName>(map: N, key: Partial<KeyOf<N>>): string {
  return encodeKey(map, key).toString('hex')
}

export function row<N extends MapName>(map: N, key: Partial<KeyOf<N>>, value: Partial<RowValue<N>>): Change<N> {
  return { map, key: key as KeyOf<N>, value: full(map, value) }
}

/** The row of a prefix: bits after it are no part of the key, and zero in the map. */
export function prefixRow<N extends PrefixMap>(map: N, key: Partial<KeyOf<N>>, value: Partial<RowValue<N>>): Change<N> {
  const bytes = encodeKey(map, key)
  const length = bytes.readUInt32LE(0)
  const masked = bytes.map((b, i) => (i < 4 ? b : b & (0xff00 >> Math.min(8, Math.max(0, length - 8 * (i - 4))))))
  return row(map, maps[map].key.decode(masked) as unknown as Partial<KeyOf<N>>, value)
}

/** A world and some changes, the later ones winning. */
export function changed(world: World, changes: readonly Change[]): World {
  const result: { [N in MapName]?: ReadonlyMap<string, Row> } = { ...world }
  const copied = new Map<MapName, Map<string, Row>>()
  for (const { map, key, value } of changes) {
    const rows = copied.get(map) ?? new Map<string, Row>(world[map] ?? [])
    copied.set(map, rows)
    if (value === undefined) rows.delete(idOf(map, key))
    else rows.set(idOf(map, key), { key, value })
  }
  for (const [map, rows] of copied) result[map] = rows
  return result as World
}

export function rowsOf<N extends MapName>(world: World, map: N): readonly Row<N>[] {
  return [...((world[map] as ReadonlyMap<string, Row<N>> | undefined)?.values() ?? [])]
}

/** Flows through the node, in use or new. */
export function nodeFlowsOf(world: World): readonly (Row<'node_flows'> & { readonly map: 'node_flows' | 'new_node_flows' })[] {
  return (['node_flows', 'new_node_flows'] as const).flatMap(map => rowsOf(world, map).map(row => ({ ...row, map })))
}

export function rowOf<N extends MapName>(world: World, map: N, key: Partial<KeyOf<N>>): RowValue<N> | undefined {
  return world[map]?.get(idOf(map, key))?.value as RowValue<N> | undefined
}

export function changesOf(world: World): Change[] {
  return [...mapNames, 'credits' as const].flatMap(map => rowsThatSay(world, map).map(({ key, value }) => ({ map, key, value })))
}

/** Every row as a line of text, sorted: what two worlds are compared by, and what a failure shows. */
export function lines(world: World, maps: readonly MapName[] = mapNames): string[] {
  return maps.flatMap(map => rowsThatSay(world, map).map(row => lineOf(map, row))).sort()
}

/** Most rows go on from world to world. */
const known = new WeakMap<Row, string>()

function lineOf(map: MapName, row: Row): string {
  const line = known.get(row) ?? `${map} ${text(map, 'key', row.key)}: ${text(map, 'value', row.value)}`
  known.set(row, line)
  return line
}

/** Rows of zeros are no rows where they are always there. */
function rowsThatSay(world: World, map: MapName): readonly Row[] {
  const rows = rowsOf(world, map)
  return isArray(map) ? rows.filter(({ value }) => encodeValue(map, value).some(byte => byte !== 0)) : rows
}

/** Zeros are left out. */
function text(map: MapName, part: 'key' | 'value', values: object): string {
  const struct = maps[map][part]
  const whole = struct.decode(struct.encode(values as never)) as Record<string, unknown>
  return Object.entries(whole)
    .filter(([, value]) => value !== undefined && value !== 0 && value !== 0n)
    .map(([name, value]) => `${name}=${value}`)
    .join(' ')
}
