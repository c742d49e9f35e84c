// SPDX-License-Identifier: Apache-2.0
import { constantsOf, linkProgram, type MapFds } from '#kernel/bpf/link.ts'
import { type MapName, type MapSpec, maps, mapType } from '#kernel/bpf/maps.ts'
import type { BpfObject, BpfProgram, ProgramName } from '#kernel/bpf/object.ts'
import { programKinds } from '#kernel/bpf/programs.ts'
import { close } from '#kernel/ffi.ts'
import { closeAll, createMap, freezeMap, loadProgram, type MapShape, ProgramError, updateEntry } from '#kernel/ffi-bpf.ts'
import { errnoOf } from '#kernel/netns.ts'
import { KernelError } from '#kernel/port.ts'

/** Entries of maps that are made, where they are not those of `maps.ts`. */
export type MapSizes = Partial<Record<MapName, number>>

export const mapNames = Object.keys(maps) as MapName[]

/** BPF_F_RDONLY_PROG */
const readOnlyForPrograms = 0x80

/** Programs and maps that end with this process, unless something else holds them. */
export interface LoadedObject {
  readonly maps: ReadonlyMap<MapName, number>
  readonly programs: ReadonlyMap<ProgramName, number>
  close(): void
}

/** Loads an object without a trace in any file system: for tests and tools. Throws KernelError. */
export function loadObject(
  object: BpfObject,
  { sizes = {}, constants = {} }: { readonly sizes?: MapSizes; readonly constants?: Readonly<Record<string, number>> } = {},
): LoadedObject {
  const mapFds = new Map<MapName, number>()
  const programFds = new Map<ProgramName, number>()
  const closeThem = () => closeAll([...mapFds.values(), ...programFds.values()])
  try {
    for (const name of mapNames) mapFds.set(name, makeMap(name, sizes))
    withConstants(object, constants, mapFds, fds => {
      for (const program of object.programs) programFds.set(program.name, makeProgram(program, fds))
    })
    return { maps: mapFds, programs: programFds, close: closeThem }
  } catch (e) {
    closeThem()
    throw e
  }
}

export function shapeOf(name: MapName, sizes: MapSizes = {}): MapShape {
  const { type, key, value, entries, flags }: MapSpec = maps[name]
  // To the kernel a ring buffer is so many bytes.
  return { type, keySize: key.size, valueSize: type === mapType.ringBuffer ? 0 : value.size, entries: sizes[name] ?? entries, flags }
}

export function makeMap(name: MapName, sizes: MapSizes): number {
  return refusing(`make the map ${name}`, () => createMap(name, shapeOf(name, sizes)))
}

export function makeProgram(program: BpfProgram, fds: MapFds): number {
  return refusing(`load the program ${program.name}`, () =>
    loadProgram(program.name, programKinds[program.name], linkProgram(program, fds)),
  )
}

/** Adds the map of the constants, which the programs made in `fn` keep alive. */
export function withConstants(
  object: BpfObject,
  values: Readonly<Record<string, number>>,
  mapFds: ReadonlyMap<MapName, number>,
  fn: (fds: MapFds) => void,
): void {
  const bytes = constantsOf(object, values)
  if (bytes.length === 0) {
    fn(mapFds)
    return
  }
  const rodata = refusing('make the map of constants', () => {
    const fd = createMap('rodata', { type: mapType.array, keySize: 4, valueSize: bytes.length, entries: 1, flags: readOnlyForPrograms })
    try {
      updateEntry(fd, Buffer.alloc(4), bytes)
      freezeMap(fd)
      return fd
    } catch (e) {
      close(fd)
      throw e
    }
  })
  try {
    fn(new Map<MapName | 'rodata', number>([...mapFds, ['rodata', rodata]]))
  } finally {
    close(rodata)
  }
}

function refusing<T>(what: string, fn: () => T): T {
  try {
    return fn()
  } catch (e) {
    if (errnoOf(e) === '') throw e
    throw new KernelError('kernel-refused', what, { errno: errnoOf(e), explanation: e instanceof ProgramError ? lastWords(e.log) : '' })
  }
}

/** The instructions before a refusal, and the refusal, which comes last but for the verifier's statistics. */
function lastWords(log: string): string {
  const lines = log.split('\n').filter(line => line !== '' && !line.startsWith('processed '))
  return lines.slice(-8).join('\n')
}
