// SPDX-License-Identifier: Apache-2.0
import { existsSync, mkdirSync, readdirSync, rmdirSync, statfsSync, unlinkSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { featuresOf } from '#kernel/bpf/features.ts'
import { type MapSizes, makeMap, makeProgram, mapNames, shapeOf, withConstants } from '#kernel/bpf/load.ts'
import type { MapName } from '#kernel/bpf/maps.ts'
import type { BpfObject, BpfProgram } from '#kernel/bpf/object.ts'
import { pinRunning, type Runner, removeUnfinished, resizeTables } from '#kernel/bpf/resize.ts'
import { close } from '#kernel/ffi.ts'
import { closeAll, infoOfMap, infoOfProgram, openPin, pinObject } from '#kernel/ffi-bpf.ts'
import { errnoOf } from '#kernel/netns.ts'
import { pinOfMap, pinOfProgram } from '#kernel/op.ts'
import { KernelError, type LoadedPrograms } from '#kernel/port.ts'

/** What statfs says. */
export const bpfFileSystem = 0xcafe4a11
/** The directory of our pins on a node. */
export const nodePins = '/sys/fs/bpf/terway'

const nothingRuns: Runner = { programs: [], swap: () => undefined }

/**
 * Pins the maps and programs of an object below `directory`, or finds them there. A process may end between any two steps: each pin is whole by
 * itself, and the next call makes what is missing. Tables of connections that have other sizes are made anew, with what they hold. Generations that are
 * neither this one nor `inUse` are taken away. Throws KernelError.
 */
export function loadPinned(
  object: BpfObject,
  directory: string,
  sizes: MapSizes,
  inUse: ReadonlySet<string>,
  runner: Runner = nothingRuns,
): LoadedPrograms {
  const { generation } = object
  requireBpfFileSystem(directory)
  const programs = dirname(pinOfProgram(generation, 'pod_in'))
  unlessReadOnly(directory, () => {
    for (const made of ['maps', programs]) makeDirectory(join(directory, made))
    removeUnfinished(directory)
    pinRunning(directory, runner.programs)
  })
  const fds = new Map<MapName, number>()
  const created: MapName[] = []
  try {
    for (const name of mapNames) {
      const { fd, isNew } = openOrMakeMap(name, directory, sizes)
      fds.set(name, fd)
      if (isNew) created.push(name)
    }
    unlessReadOnly(directory, () => resizeTables(object, directory, sizes, fds, runner))
    pinPrograms(object, directory, fds)
    return { generation, created, others: removeOthers(directory, generation, inUse) }
  } finally {
    closeAll(fds.values())
  }
}

/** Takes all pins away. What runs in a block goes on until the block ends. Where nothing is pinned it asks for no BPF file system. */
export function unloadPinned(directory: string): void {
  if (!hasPins(directory)) {
    // Directories alone are no harm where they cannot be removed.
    removeDirectories(directory, ['EROFS'])
    return
  }
  unlessReadOnly(directory, () => removeDirectories(directory, []))
}

function hasPins(directory: string): boolean {
  return existsSync(directory) && readdirSync(directory, { recursive: true, withFileTypes: true }).some(entry => !entry.isDirectory())
}

function removeDirectories(directory: string, harmless: readonly string[]): void {
  try {
    for (const part of ['links', 'programs', 'maps']) removeTree(join(directory, part))
    rmdirSync(directory)
  } catch (e) {
    // It was never made, is the mount point itself, or holds what is not ours.
    if (!['ENOENT', 'EBUSY', 'ENOTEMPTY', ...harmless].includes(errnoOf(e))) throw e
  }
}

/** Changes something on a BPF file system. Throws KernelError that says the way out of a read-only one. */
export function unlessReadOnly<T>(directory: string, change: () => T): T {
  try {
    return change()
  } catch (e) {
    if (errnoOf(e) !== 'EROFS') throw e
    const wayOut = 'remount it (mount -o remount,rw /sys/fs/bpf), and in a container mount it without readOnly'
    throw new KernelError('kernel-refused', `${directory} is on a read-only file system: ${wayOut}`)
  }
}

/** The map that is pinned now; undefined when there is none. Throws KernelError when it is another kind of map. */
export function openMap(name: MapName, directory: string): number | undefined {
  const path = join(directory, pinOfMap(name))
  const fd = openPin(path)
  if (fd === undefined) return undefined
  const [there, wanted] = [infoOfMap(fd), shapeOf(name)]
  if (there.type === wanted.type && there.keySize === wanted.keySize && there.valueSize === wanted.valueSize) return fd
  close(fd)
  const shape = (s: typeof wanted) => `a map of type ${s.type} from ${s.keySize} to ${s.valueSize} bytes`
  throw new KernelError('kernel-refused', `the pin ${path} is ${shape(there)}, not ${shape(wanted)}`)
}

/** Where pins go must be a BPF file system. Returns the nearest directory that exists. Throws KernelError that says how to get one. */
export function requireBpfFileSystem(directory: string): string {
  const [there, type] = fileSystemOf(directory)
  if (type === bpfFileSystem) return there
  const wayOut = "mount one (mount -t bpf bpf /sys/fs/bpf), and in a container mount the host's /sys/fs/bpf"
  throw new KernelError('kernel-refused', `${there} is not on a BPF file system: ${wayOut}`)
}

/** The type of file system of a directory, or of the nearest one above that exists. */
function fileSystemOf(directory: string): readonly [path: string, type: number] {
  try {
    return [directory, statfsSync(directory).type]
  } catch (e) {
    if (errnoOf(e) !== 'ENOENT' || dirname(directory) === directory) throw e
    return fileSystemOf(dirname(directory))
  }
}

function openOrMakeMap(name: MapName, directory: string, sizes: MapSizes): { readonly fd: number; readonly isNew: boolean } {
  const known = openMap(name, directory)
  if (known !== undefined) return { fd: known, isNew: false }
  const fd = makeMap(name, sizes)
  try {
    pinObject(fd, join(directory, pinOfMap(name)))
    return { fd, isNew: true }
  } catch (e) {
    close(fd)
    // Another process was faster.
    if (errnoOf(e) === 'EEXIST') return openOrMakeMap(name, directory, sizes)
    throw e
  }
}

function pinPrograms(object: BpfObject, directory: string, mapFds: ReadonlyMap<MapName, number>): void {
  const ids = new Map([...mapFds].map(([name, fd]) => [name, infoOfMap(fd).id]))
  const path = (program: BpfProgram) => join(directory, pinOfProgram(object.generation, program.name))
  const missing = object.programs.filter(program => !isPinned(program, path(program), ids))
  if (missing.length === 0) return
  withConstants(object, featuresOf(object), mapFds, fds => {
    for (const program of missing) {
      const fd = makeProgram(program, fds)
      try {
        pinObject(fd, path(program))
      } catch (e) {
        if (errnoOf(e) !== 'EEXIST') throw e
      } finally {
        close(fd)
      }
    }
  })
}

/** Takes a program away that uses other maps than those that are pinned now: its maps were unpinned after it was. */
function isPinned(program: BpfProgram, path: string, ids: ReadonlyMap<MapName, number>): boolean {
  const fd = openPin(path)
  if (fd === undefined) return false
  const used = infoOfProgram(fd).maps
  close(fd)
  if (program.relocations.every(({ map }) => map === 'rodata' || used.includes(ids.get(map) ?? 0))) return true
  unlinkSync(path)
  return false
}

/** Answers those that are left, since they are in use. */
function removeOthers(directory: string, own: string, inUse: ReadonlySet<string>): readonly string[] {
  const programs = join(directory, 'programs')
  const others = readdirSync(programs).filter(generation => generation !== own)
  for (const generation of others) if (!inUse.has(generation)) removeTree(join(programs, generation))
  return others.filter(generation => inUse.has(generation))
}

/** With those above it. `recursive` would say ENOENT on a read-only file system. */
export function makeDirectory(path: string): void {
  if (existsSync(path)) return
  makeDirectory(dirname(path))
  try {
    mkdirSync(path)
  } catch (e) {
    // Another process was faster.
    if (errnoOf(e) !== 'EEXIST') throw e
  }
}

/** As `rmSync` does, whose errors have no code for a read-only file system. */
function removeTree(directory: string): void {
  if (!existsSync(directory)) return
  for (const entry of readdirSync(directory, { withFileTypes: true })) {
    const path = join(directory, entry.name)
    if (entry.isDirectory()) removeTree(path)
    else unlinkSync(path)
  }
  rmdirSync(directory)
}
