// SPDX-License-Identifier: Apache-2.0
import { readFileSync } from 'node:fs'
import { type PackedEntries, readSlice, type Slice, valueSizeOf } from '#kernel/bpf/entries.ts'
import type { MapSizes } from '#kernel/bpf/load.ts'
import { type MapName, maps } from '#kernel/bpf/maps.ts'
import type { BpfObject } from '#kernel/bpf/object.ts'
import { loadPinned } from '#kernel/bpf/pins.ts'
import { programNames } from '#kernel/bpf/programs.ts'
import type { Runner } from '#kernel/bpf/resize.ts'
import { grantCredits, surveySlice } from '#kernel/bpf/survey.ts'
import { block } from '#kernel/bpf/words.ts'
import { infoOfMap } from '#kernel/ffi-bpf.ts'
import type { NetlinkConn } from '#kernel/netlink/conn.ts'
import { type FoundFilter, listFilters, setFilters } from '#kernel/netlink/filter.ts'
import { KernelError, type LoadedPrograms } from '#kernel/port.ts'
import type { Home } from '#kernel/worker/namespaces.ts'
import type { Pinned } from '#kernel/worker/pinned.ts'
import type { Calls } from '#kernel/worker/protocol.ts'
import { messageOf } from '#lib/errors.ts'

/** Loads the object of this release. It is read here and forgotten after. */
export function load(home: Home, file: string, sizes: MapSizes): LoadedPrograms {
  const object = readObject(file)
  const filters = runningFilters(home.conn)
  const running = [...filters, ...home.sockets.list()].flatMap(({ name }) => name.split('.')[1] ?? [])
  return loadPinned(object, home.pinned.directory, sizes, new Set(running), runnerOf(home.conn, object.generation, filters))
}

export function runningFilters(conn: NetlinkConn): FoundFilter[] {
  return Object.values(block).flatMap(b => listFilters(conn, b))
}

/** Of the programs in our blocks, whatever their generation is. */
export function runnerOf(conn: NetlinkConn, generation: string, filters: readonly FoundFilter[]): Runner {
  const swap: Runner['swap'] = programs => {
    setFilters(
      conn,
      [...programs].flatMap(([name, program]) => {
        const replaced = filters.filter(f => f.name.startsWith(`${name}.`))
        return replaced.map(f => ({ block: f.block, program, name: `${name}.${generation}` }))
      }),
    )
  }
  return { programs: filters.flatMap(({ program }) => program ?? []), swap }
}

/** None when the map is not pinned. */
export function slice({ map, after }: Calls['slice']['args'], pinned: Pinned): Slice {
  pinned.recheck()
  const fd = pinned.map(map)
  return fd === undefined ? { ...noEntries(map), next: undefined } : readSlice(map, fd, after)
}

/** How many a slice has, and how many the map may have. */
export function count(args: Calls['count']['args'], pinned: Pinned): Calls['count']['result'] {
  const { keys, keySize, next } = slice(args, pinned)
  const fd = pinned.map(args.map)
  return { used: keys.length / keySize, room: fd === undefined ? 0 : infoOfMap(fd).entries, next }
}

/** Of a slice; undefined when the table is not pinned. */
export function survey({ table, after }: Calls['survey']['args'], pinned: Pinned): Calls['survey']['result'] {
  pinned.recheck()
  const fd = pinned.map(table)
  return fd === undefined ? undefined : { ...surveySlice(table, fd, after), room: infoOfMap(fd).entries }
}

/** After a survey of all of `flows`. Programs of a release that knows no credits have no such maps. */
export function grant(found: Calls['grant']['args'], pinned: Pinned): undefined {
  pinned.recheck()
  const [table, credits, sums] = [pinned.map('flows'), pinned.map('credits'), pinned.map('table_sums')]
  if (table !== undefined && credits !== undefined && sums !== undefined) grantCredits({ table, credits, sums }, found)
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
