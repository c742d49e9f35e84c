// SPDX-License-Identifier: Apache-2.0

import { readFileSync } from 'node:fs'
import { type MapName, type MapSpec, maps, mapType } from '#kernel/bpf/maps.ts'
import { infoOfMap, lookupEntry, nextKey } from '#kernel/ffi-bpf.ts'
import { lookupBatch } from '#kernel/ffi-bpf-batch.ts'
import type { RawEntry } from '#kernel/state.ts'

/** Entries of a map: their keys, and their values, one behind the other. */
export interface PackedEntries {
  readonly keySize: number
  readonly valueSize: number
  readonly keys: Uint8Array<ArrayBuffer>
  readonly values: Uint8Array<ArrayBuffer>
}
/** A part of a map. */
export interface Slice extends PackedEntries {
  /** Where the next one begins; undefined after the last. */
  readonly next: Uint8Array | undefined
}

/** So many entries take a few milliseconds. */
const sliceEntries = 16_384
/** An update may hold both values of an entry for a moment. */
const spareEntries = 64
/** After a key that is gone a batch of a longest prefix map would begin again, and nobody would know. */
const walked: readonly number[] = [mapType.lpmTrie]

let cpus: number | undefined

/** What a process reads and writes of one entry: for per-CPU maps a value for each CPU that the machine may have, each at a multiple of 8. */
export function valueSizeOf(map: MapName): number {
  const { type, value }: MapSpec = maps[map]
  if (type !== mapType.percpuArray && type !== mapType.percpuHash) return value.size
  cpus ??= countCpus(readFileSync('/sys/devices/system/cpu/possible', 'utf8'))
  return Math.ceil(value.size / 8) * 8 * cpus
}

/** `0-3,8`: numbers and ranges. */
export function countCpus(list: string): number {
  const count = (range: string) => {
    const [first = 0, last = first] = range.split('-').map(Number)
    return last - first + 1
  }
  return list
    .trim()
    .split(',')
    .reduce((sum, range) => sum + count(range), 0)
}

/** Every entry of a map. Those that come or go meanwhile may be missing. */
export function readEntries(map: MapName, fd: number): PackedEntries {
  const slices = [readSlice(map, fd, undefined)]
  for (let next = slices[0]?.next; next !== undefined; next = slices.at(-1)?.next) slices.push(readSlice(map, fd, next))
  const [keySize, valueSize] = [maps[map].key.size, valueSizeOf(map)]
  return { keySize, valueSize, keys: joined(slices.map(s => s.keys)), values: joined(slices.map(s => s.values)) }
}

/** At most `room` entries from `after` on, where an earlier slice ended. What it cannot read in parts it reads whole. */
export function readSlice(map: MapName, fd: number, after: Uint8Array | undefined, room = sliceEntries): Slice {
  const space = makeSpace(map, Math.min(infoOfMap(fd).entries + spareEntries, room))
  const next = Buffer.alloc(Math.max(space.keySize, 4))
  const batch = walked.includes(maps[map].type) ? undefined : lookupBatch(fd, after, next, space)
  return batch === undefined ? walk(map, fd) : { ...used(space, batch.count), next: batch.isLast ? undefined : next }
}

interface Space extends PackedEntries {
  readonly room: number
}

function makeSpace(map: MapName, room: number): Space {
  const [keySize, valueSize] = [maps[map].key.size, valueSizeOf(map)]
  return { keySize, valueSize, keys: Buffer.allocUnsafeSlow(keySize * room), values: Buffer.allocUnsafeSlow(valueSize * room), room }
}

function used({ keySize, valueSize, keys, values }: Space, count: number): PackedEntries {
  return { keySize, valueSize, keys: keys.subarray(0, count * keySize), values: values.subarray(0, count * valueSize) }
}

/** Key by key: after one that is gone the kernel begins again, and what was seen is left out. */
function walk(map: MapName, fd: number): Slice {
  let space = makeSpace(map, spareEntries)
  const { keySize, valueSize } = space
  const seen = new Set<string>()
  const [key, value] = [Buffer.alloc(keySize), Buffer.alloc(valueSize)]
  // Twice all of them is enough for any walk of a map that is not emptied and filled all the time.
  let steps = 2 * infoOfMap(fd).entries
  for (let more = nextKey(fd, undefined, key); more && steps-- > 0; more = nextKey(fd, key, key)) {
    const name = key.toString('latin1')
    if (seen.has(name) || !lookupEntry(fd, key, value)) continue
    if (seen.size === space.room) space = larger(map, space)
    space.keys.set(key, seen.size * keySize)
    space.values.set(value, seen.size * valueSize)
    seen.add(name)
  }
  return { ...used(space, seen.size), next: undefined }
}

function larger(map: MapName, space: Space): Space {
  const more = makeSpace(map, 2 * space.room)
  more.keys.set(space.keys)
  more.values.set(space.values)
  return more
}

function joined(parts: readonly Uint8Array<ArrayBuffer>[]): Uint8Array<ArrayBuffer> {
  const [only, ...others] = parts
  return only !== undefined && others.length === 0 ? only : Buffer.concat(parts)
}

/** The entries apart, as views. */
export function unpackEntries({ keySize, valueSize, keys, values }: PackedEntries): RawEntry[] {
  return Array.from({ length: keys.length / keySize }, (_, i) => ({
    key: keys.subarray(i * keySize, (i + 1) * keySize),
    value: values.subarray(i * valueSize, (i + 1) * valueSize),
  }))
}
