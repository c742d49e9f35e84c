// SPDX-License-Identifier: Apache-2.0
import { readFileSync } from 'node:fs'
import { type PackedEntries, readSlice, type Slice, valueSizeOf } from '#kernel/bpf/entries.ts'
import type { MapSizes } from '#kernel/bpf/load.ts'
import { type MapName, maps } from '#kernel/bpf/maps.ts'
import type { BpfObject } from '#kernel/bpf/object.ts'
import { loadPinned } from '#kernel/bpf/pins.ts'
import { programNames } from '#kernel/bpf/programs.ts'
import { block } from '#kernel/bpf/words.ts'
import { infoOfMap } from '#kernel/ffi-bpf.ts'
import { listFilters } from '#kernel/netlink/filter.ts'
import { KernelError, type LoadedPrograms } from '#kernel/port.ts'
import type { Home } from '#kernel/worker/namespaces.ts'
import type { Pinned } from '#kernel/worker/pinned.ts'
import type { Calls } from '#kernel/worker/protocol.ts'
import { messageOf } from '#lib/errors.ts'

/** Loads the object of this release. It is read here and forgotten after. */
export function load(home: Home, file: string, sizes: MapSizes): LoadedPrograms {
  const running = [...Object.values(block).flatMap(b => listFilters(home.conn, b)), ...home.sockets.list()].flatMap(
    ({ name }) => name.split('.')[1] ?? [],
  )
  return loadPinned(readObject(file), home.pinned.directory, sizes, new Set(running))
}

/** None when the map is not pinned. */
export function slice({ map, after, room }: Calls['slice']['args'], pinned: Pinned): Slice {
  pinned.recheck()
  const fd = pinned.map(map)
  return fd === undefined ? { ...noEntries(map), next: undefined } : readSlice(map, fd, after, room)
}

/** How many a slice has, and how many the map may have. */
export function count(args: Calls['count']['args'], pinned: Pinned): Calls['count']['result'] {
  const { keys, keySize, next } = slice(args, pinned)
  const fd = pinned.map(args.map)
  return { used: keys.length / keySize, room: fd === undefined ? 0 : infoOfMap(fd).entries, next }
}

function noEntries(map: MapName): PackedEntries {
  return { keySize: maps[map].key.size, valueSize: valueSizeOf(map), keys: new Uint8Array(), values: new Uint8Array() }
}

function readObject(file: string): BpfObject {
  const what = `read the programs ${file}`
  let object: BpfObject
  try {
    object = JSON.parse(readFileSync(file, 'utf8'))
  } catch (e) {
    throw new KernelError('kernel-refused', what, { explanation: messageOf(e) })
  }
  const missing = programNames.filter(name => !object.programs.some(p => p.name === name))
  if (missing.length > 0) throw new KernelError('kernel-refused', what, { explanation: `it has no ${missing.join(', ')}` })
  return object
}
