// SPDX-License-Identifier: Apache-2.0
import { countsFor } from '#kernel/bpf/copy.ts'
import { readSlice, type Slice, valueSizeOf } from '#kernel/bpf/entries.ts'
import { type MapName, maps } from '#kernel/bpf/maps.ts'
import { seenNow, unitsPerSecond } from '#kernel/bpf/seen.ts'
import { credits, flowFlag, flowState, flowTimeout, flowWay } from '#kernel/bpf/words.ts'
import { deleteEntry, infoOfMap, lookupEntry, updateEntry } from '#kernel/ffi-bpf.ts'
import type { Ip } from '#net/ip.ts'

/** The tables of flows of pods. */
export const flowTables = ['flows', 'new_flows'] as const satisfies readonly MapName[]
export type FlowTable = (typeof flowTables)[number]

/** A part of a table, or all of it. */
export interface Survey {
  /** Entries that stay. */
  readonly used: number
  /** Of these, those that have a credit. */
  readonly fresh: number
  /** Taken away: they had a credit for too long. */
  readonly removed: number
  /** Flows that are not outdated and have not ended, by the pod's address. */
  readonly live: ReadonlyMap<Ip, number>
}

/** Of the room of a table, what new flows may have at most. */
const freshShare = 1 / 8
/** A client of datagrams may be silent for longer while it is answered: its choice is not asked for then. */
const choiceSeconds = 600
const tcp = 6

/** Looks at a slice, and takes away what stayed new for too long. */
export function surveySlice(
  table: FlowTable,
  map: number,
  after: Uint8Array | undefined,
): Survey & { readonly next: Uint8Array | undefined } {
  const slice = readSlice(table, map, after)
  const { idle, ...found } = judge(slice, seenNow())
  const removed = idle.filter(i => removeIdle(map, slice, i)).length
  return { ...found, used: slice.keys.length / slice.keySize - removed, fresh: found.fresh - removed, removed, next: slice.next }
}

export function added(a: Survey, b: Survey): Survey {
  return { used: a.used + b.used, fresh: a.fresh + b.fresh, removed: a.removed + b.removed, live: sumsOf(a.live, b.live) }
}

export function sumsOf<K>(a: ReadonlyMap<K, number>, b: ReadonlyMap<K, number>): ReadonlyMap<K, number> {
  const sums = new Map(a)
  for (const [key, n] of b) sums.set(key, (sums.get(key) ?? 0) + n)
  return sums
}

/** Which of a slice's entries are of what kind; `idle`: by number, those that have had a credit for too long. */
export function judge(
  { keys, keySize, values, valueSize }: Pick<Slice, 'keys' | 'keySize' | 'values' | 'valueSize'>,
  now: number,
): { readonly fresh: number; readonly live: ReadonlyMap<Ip, number>; readonly idle: readonly number[] } {
  const view = new DataView(values.buffer, values.byteOffset, values.length)
  const local = Buffer.from(keys.buffer, keys.byteOffset, keys.length)
  const idle: number[] = []
  const live = new Map<string, number>()
  let fresh = 0
  for (let i = 0; i * keySize < keys.length; i++) {
    const at = i * valueSize
    const [state, way, flags] = [values[at + stateAt], values[at + wayAt], values[at + flagsAt] ?? 0]
    const protocol = keys[i * keySize + protocolAt]
    const age = Math.max(0, (now - view.getUint32(at, true)) | 0)
    if ((flags & flowFlag.fresh) !== 0) {
      fresh++
      if (age > freshFor(way, protocol)) idle.push(i)
    }
    if (way === flowWay.service || !goesOn.includes(state ?? 0) || age > countsFor(protocol, state)) continue
    const ip = local.toString('latin1', i * keySize, i * keySize + 16)
    live.set(ip, (live.get(ip) ?? 0) + 1)
  }
  return { fresh, live: new Map([...live].flatMap(([ip, n]) => named(Buffer.from(ip, 'latin1'), n))), idle }
}

function named(bytes: Buffer, n: number): [Ip, number][] {
  const { ip } = maps.addresses.key.decode(bytes)
  return ip === undefined ? [] : [[ip, n]]
}

const goesOn: readonly number[] = [flowState.new, flowState.open]

function freshFor(way: number | undefined, protocol: number | undefined): number {
  return (way === flowWay.service && protocol !== tcp ? choiceSeconds : flowTimeout.new) * unitsPerSecond
}

const offsetOf = (fields: readonly { readonly name: string; readonly offset: number }[], name: string) =>
  fields.find(f => f.name === name)?.offset ?? 0
const [stateAt = 0, wayAt = 0, flagsAt = 0] = ['state', 'way', 'flags'].map(name => offsetOf(maps.flows.value.fields, name))
const protocolAt = offsetOf(maps.flows.key.fields, 'protocol')

/** Unless it has had a packet since it was read. */
function removeIdle(map: number, { keys, keySize, values, valueSize }: Slice, i: number): boolean {
  const [key, value] = [keys.subarray(i * keySize, (i + 1) * keySize), Buffer.alloc(valueSize)]
  const same = lookupEntry(map, key, value) && value.equals(values.subarray(i * valueSize, (i + 1) * valueSize))
  return same && deleteEntry(map, key)
}

/**
 * Grants what is missing, after a walk through the whole table. What the programs have taken meanwhile is used, so a number that is a moment old
 * grants nothing twice. `fds` are of `credits` and `table_sums`.
 */
export function grantCredits(
  fds: { readonly credits: number; readonly sums: number; readonly table: number },
  { fresh, removed }: Survey,
): void {
  const most = Math.floor(infoOfMap(fds.table).entries * freshShare)
  const used = wordAt(fds.credits, credits.flows + credits.used)
  const atHand = creditsAtHand(fds.sums)
  put(fds.credits, credits.flows + credits.granted, used + BigInt(Math.max(0, most - fresh - atHand)))
  put(fds.credits, credits.flows + credits.removed, wordAt(fds.credits, credits.flows + credits.removed) + BigInt(removed))
}

function wordAt(map: number, index: number): bigint {
  const value = Buffer.alloc(maps.credits.value.size)
  return lookupEntry(map, maps.credits.key.encode({ index }), value) ? maps.credits.value.decode(value).value : 0n
}

function put(map: number, index: number, value: bigint): void {
  updateEntry(map, maps.credits.key.encode({ index }), maps.credits.value.encode({ value: BigInt.asUintN(64, value) }))
}

/** Of all CPUs. */
function creditsAtHand(map: number): number {
  const values = Buffer.alloc(valueSizeOf('table_sums'))
  const { size, decode } = maps.table_sums.value
  if (!lookupEntry(map, maps.table_sums.key.encode({ index: 0 }), values)) return 0
  const each = Array.from({ length: values.length / size }, (_, cpu) => decode(values.subarray(cpu * size, (cpu + 1) * size)).credits)
  return each.reduce((sum, n) => sum + n, 0)
}
