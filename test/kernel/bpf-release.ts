// SPDX-License-Identifier: Apache-2.0
import { existsSync, readdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { makeProgram, withConstants } from '#kernel/bpf/load.ts'
import type { MapName } from '#kernel/bpf/maps.ts'
import { makeDirectory } from '#kernel/bpf/pins.ts'
import { close } from '#kernel/ffi.ts'
import { closeAll, createMap, openPin, pinObject } from '#kernel/ffi-bpf.ts'
import { pinOfProgram } from '#kernel/op.ts'
import type { LoadedPrograms } from '#kernel/port.ts'
import { objectOf, type Release } from '../../tools/bpf-release.ts'

/**
 * What a process of that release does when it starts: it makes those of its maps that are not pinned, with its own layouts, pins its programs, and
 * takes away generations that it does not know. It knows nothing of other maps and links.
 */
export function pinRelease(release: Release, pins: string): LoadedPrograms {
  const object = objectOf(release)
  const { generation } = object
  for (const made of ['maps', `programs/${generation}`]) makeDirectory(join(pins, made))
  const fds = new Map<MapName, number>()
  const created: MapName[] = []
  try {
    for (const name of Object.keys(release.maps) as MapName[]) {
      const { fd, isNew } = openOrMake(release, name, pins)
      fds.set(name, fd)
      if (isNew) created.push(name)
    }
    withConstants(object, {}, fds, all => {
      for (const program of object.programs) {
        const pin = join(pins, pinOfProgram(generation, program.name))
        if (existsSync(pin)) continue
        const fd = makeProgram(program, all)
        pinObject(fd, pin)
        close(fd)
      }
    })
  } finally {
    closeAll(fds.values())
  }
  const programs = join(pins, 'programs')
  for (const other of readdirSync(programs)) if (other !== generation) rmSync(join(programs, other), { recursive: true })
  return { generation, created, others: [] }
}

function openOrMake({ maps, structs }: Release, name: MapName, pins: string): { readonly fd: number; readonly isNew: boolean } {
  const { layout, type, flags, entries, key, value } = maps[name] ?? { layout: 0, type: 0, flags: 0, entries: 0, key: '', value: '' }
  const pin = join(pins, `maps/${name}-${layout}`)
  const there = openPin(pin)
  if (there !== undefined) return { fd: there, isNew: false }
  const sizes = { keySize: structs[key]?.size ?? 0, valueSize: structs[value]?.size ?? 0 }
  const fd = createMap(name, { type, flags, entries, ...sizes })
  pinObject(fd, pin)
  return { fd, isNew: true }
}
