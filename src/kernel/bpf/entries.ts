// SPDX-License-Identifier: Apache-2.0
import { readFileSync } from 'node:fs'
import { type MapName, type MapSpec, maps, mapType } from '#kernel/bpf/maps.ts'
import { infoOfMap, lookupEntry, nextKey } from '#kernel/ffi-bpf.ts'

/** Entries of a map, one behind the other: key, value, key, value, … */
export interface PackedEntries {
  readonly keySize: number
  readonly valueSize: number
  readonly bytes: Uint8Array
}

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

/** Every entry of a map. Those that come or go meanwhile may be missing: after a key that is gone the walk begins again, and what was seen is left out. */
export function readEntries(map: MapName, fd: number): PackedEntries {
  const [keySize, valueSize] = [maps[map].key.size, valueSizeOf(map)]
  const seen = new Set<string>()
  const key = Buffer.alloc(keySize)
  const value = Buffer.alloc(valueSize)
  const entrySize = keySize + valueSize
  let bytes = Buffer.allocUnsafeSlow(entrySize * 64)
  let used = 0
  // Twice all of them is enough for any walk of a map that is not emptied and filled all the time.
  let steps = 2 * infoOfMap(fd).entries
  for (let more = nextKey(fd, undefined, key); more && steps-- > 0; more = nextKey(fd, key, key)) {
    const name = key.toString('latin1')
    if (seen.has(name) || !lookupEntry(fd, key, value)) continue
    seen.add(name)
    if (used + entrySize > bytes.length) bytes = grown(bytes)
    bytes.set(key, used)
    bytes.set(value, used + keySize)
    used += entrySize
  }
  return { keySize, valueSize, bytes: bytes.subarray(0, used) }
}

/** Up to `count` entries after a key; an entry that goes meanwhile is left out, and makes a page no shorter. */
export function readPage(map: MapName, fd: number, after: Uint8Array | undefined, count: number): PackedEntries {
  const [keySize, valueSize] = [maps[map].key.size, valueSizeOf(map)]
  const bytes = Buffer.allocUnsafeSlow((keySize + valueSize) * count)
  const key = Buffer.alloc(keySize)
  let used = 0
  for (let more = nextKey(fd, after, key); more && used < bytes.length; more = used < bytes.length && nextKey(fd, key, key)) {
    if (!lookupEntry(fd, key, bytes.subarray(used + keySize, used + keySize + valueSize))) continue
    bytes.set(key, used)
    used += keySize + valueSize
  }
  return { keySize, valueSize, bytes: bytes.subarray(0, used) }
}

function grown(bytes: Buffer): Buffer<ArrayBuffer> {
  const more = Buffer.allocUnsafeSlow(2 * bytes.length)
  more.set(bytes)
  return more
}

/** The entries apart, as views. */
export function unpackEntries({ keySize, valueSize, bytes }: PackedEntries): { readonly key: Uint8Array; readonly value: Uint8Array }[] {
  const size = keySize + valueSize
  return Array.from({ length: bytes.length / size }, (_, i) => ({
    key: bytes.subarray(i * size, i * size + keySize),
    value: bytes.subarray(i * size + keySize, (i + 1) * size),
  }))
}
