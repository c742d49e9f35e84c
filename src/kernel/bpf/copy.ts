// SPDX-License-Identifier: Apache-2.0
import { readSlice, type Slice } from '#kernel/bpf/entries.ts'
import type { Fields, Struct } from '#kernel/bpf/layout.ts'
import { type MapName, maps } from '#kernel/bpf/maps.ts'
import { seenNow, unitsPerSecond } from '#kernel/bpf/seen.ts'
import { flowState, flowTimeout } from '#kernel/bpf/words.ts'
import { deleteEntry, infoOfMap, lookupEntry, updateEntry } from '#kernel/ffi-bpf.ts'
import { updateBatch } from '#kernel/ffi-bpf-batch.ts'

/** The tables of connections: their values say when they were seen. */
export const connectionTables = ['new_flows', 'new_node_flows', 'node_flows', 'host_notes', 'flows'] as const satisfies readonly MapName[]
export type ConnectionTable = (typeof connectionTables)[number]

/** A table and the one that takes its place: descriptors. */
export interface Move {
  readonly table: ConnectionTable
  readonly from: number
  readonly to: number
}

/** An age that no entry has. Ages are in units of `seen`. */
const anyAge = 2 ** 32
/** Of the room of a table that is too small for all, what is left for flows that begin. */
const spare = 1 / 8
/** A packet that is on its way through a program writes the time at which it came, or of the kernel's last tick before: 10 ms at most. */
const slack = 16
const tcp = 6

/** Everything that counts; where it does not fit, what was seen last. Returns when it began, for `copyChanged`. */
export function copyAll(moves: readonly Move[]): number {
  const now = seenNow()
  for (const move of moves) {
    const room = infoOfMap(move.to).entries
    const fits = room >= infoOfMap(move.from).entries
    copy(move, now, fits ? anyAge : ageThatFits(agesOf(move, now), room * (1 - spare)))
  }
  return now
}

/**
 * What was seen since an earlier copy, into tables that no program uses yet. The first table comes last once more: a flow that began meanwhile, and one
 * that was answered meanwhile, which goes from it to another, are both found. Returns when it began.
 */
export function copyChanged(moves: readonly Move[], since: number): number {
  const began = seenNow()
  forgetReplaced(moves, since)
  for (const move of [...moves, ...moves.slice(0, 1)]) {
    const now = seenNow()
    copy(move, now, ageOf(since, now) + slack)
  }
  return began
}

/** What was seen since an earlier copy, into tables that programs have begun to use: the newer entry wins. */
export function copyNewer(moves: readonly Move[], since: number): void {
  for (const { table, from, to } of moves) {
    const there = Buffer.alloc(maps[table].value.size)
    const now = seenNow()
    const limit = ageOf(since, now) + slack
    for (const slice of slices(table, from)) {
      for (const i of wanted(table, slice, now, limit)) {
        const { key, value } = entryOf(slice, i)
        if (!lookupEntry(to, key, there) || isNewer(seenIn(value), seenIn(there))) updateEntry(to, key, value)
      }
    }
  }
}

/** The age up to which at most so many entries are. */
export function ageThatFits(ages: Uint32Array, room: number): number {
  if (ages.length <= room) return anyAge
  return ages.toSorted()[Math.max(0, Math.floor(room) - 1)] ?? anyAge
}

/** How long an entry counts after its last packet, in units of `seen`: the programs decide anew afterwards. */
export function countsFor(protocol: number | undefined, state: number | undefined): number {
  if (state === flowState.open) return (protocol === tcp ? flowTimeout.openTcp : flowTimeout.open) * unitsPerSecond
  return (timeouts.get(state ?? 0) ?? 0) * unitsPerSecond
}

const timeouts = new Map<number, number>([
  [flowState.new, flowTimeout.new],
  [flowState.closing, flowTimeout.closing],
  [flowState.denied, flowTimeout.denied],
])

const offsets = Object.fromEntries(
  connectionTables.map(table => {
    const { key, value } = maps[table]
    return [table, { protocolAt: offsetOf(key, 'protocol') ?? 0, stateAt: offsetOf(value, 'state') }]
  }),
) as Record<ConnectionTable, { readonly protocolAt: number; readonly stateAt: number | undefined }>

function offsetOf({ fields }: Pick<Struct<Fields>, 'fields'>, name: string): number | undefined {
  return fields.find(f => f.name === name)?.offset
}

/** Each value begins with it. */
function seenIn(value: Uint8Array): number {
  return viewOf(value).getUint32(0, true)
}

function isNewer(seen: number, than: number): boolean {
  return ((seen - than) | 0) > 0
}

/** What was seen a moment after `now` was read is of now. */
function ageOf(seen: number, now: number): number {
  return isNewer(seen, now) ? 0 : (now - seen) >>> 0
}

function copy({ table, from, to }: Move, now: number, oldest: number): void {
  for (const slice of slices(table, from)) {
    const { keys, keySize, values, valueSize } = slice
    let kept = 0
    // Those that stay behind are overwritten.
    for (const i of wanted(table, slice, now, oldest)) {
      if (kept < i) {
        keys.copyWithin(kept * keySize, i * keySize, (i + 1) * keySize)
        values.copyWithin(kept * valueSize, i * valueSize, (i + 1) * valueSize)
      }
      kept++
    }
    updateBatch(to, slice, kept)
  }
}

function agesOf({ table, from }: Move, now: number): Uint32Array {
  const ages = new Uint32Array(infoOfMap(from).entries)
  let count = 0
  for (const slice of slices(table, from)) {
    const view = viewOf(slice.values)
    for (const i of wanted(table, slice, now, anyAge)) ages[count++] = ageOf(view.getUint32(i * slice.valueSize, true), now)
  }
  return ages.subarray(0, count)
}

/** A flow that began anew is a new one, and its old entry is gone: programs would believe that first. */
function forgetReplaced(moves: readonly Move[], since: number): void {
  for (const [beginning, inUse] of pairs) {
    const [fresh, settled] = [moves.find(m => m.table === beginning), moves.find(m => m.table === inUse)]
    if (fresh !== undefined && settled !== undefined) forgetReplacedOf(fresh, settled, since)
  }
}

const pairs = [
  ['new_flows', 'flows'],
  ['new_node_flows', 'node_flows'],
] as const

function forgetReplacedOf(fresh: Move, settled: Move, since: number): void {
  const value = Buffer.alloc(maps[settled.table].value.size)
  const now = seenNow()
  for (const slice of slices(fresh.table, fresh.from)) {
    for (const i of wanted(fresh.table, slice, now, ageOf(since, now) + slack)) {
      const { key } = entryOf(slice, i)
      if (!lookupEntry(settled.from, key, value)) deleteEntry(settled.to, key)
    }
  }
}

function* slices(table: ConnectionTable, map: number): Generator<Slice> {
  for (let after: Uint8Array | undefined; ; ) {
    const slice = readSlice(table, map, after)
    yield slice
    if (slice.next === undefined) return
    after = slice.next
  }
}

/** Numbers of entries. Most are too old for a copy of what changed, so that no more than their age is looked at. */
function* wanted(table: ConnectionTable, { keys, keySize, values, valueSize }: Slice, now: number, oldest: number): Generator<number> {
  const { protocolAt, stateAt } = offsets[table]
  const view = viewOf(values)
  for (let i = 0; i * keySize < keys.length; i++) {
    const age = ageOf(view.getUint32(i * valueSize, true), now)
    if (age > oldest) continue
    const state = stateAt === undefined ? flowState.open : values[i * valueSize + stateAt]
    if (age <= countsFor(keys[i * keySize + protocolAt], state)) yield i
  }
}

/** As views. */
function entryOf({ keys, keySize, values, valueSize }: Slice, i: number) {
  return { key: keys.subarray(i * keySize, (i + 1) * keySize), value: values.subarray(i * valueSize, (i + 1) * valueSize) }
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
}
