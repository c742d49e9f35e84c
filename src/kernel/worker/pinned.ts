// SPDX-License-Identifier: Apache-2.0
import { existsSync, readdirSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { valueSizeOf } from '#kernel/bpf/entries.ts'
import { type MapName, maps } from '#kernel/bpf/maps.ts'
import type { ProgramName, SocketProgram } from '#kernel/bpf/object.ts'
import { openMap } from '#kernel/bpf/pins.ts'
import { packetProgramNames } from '#kernel/bpf/programs.ts'
import { close } from '#kernel/ffi.ts'
import { closeAll, deleteEntry, infoOfProgram, lookupEntry, openPin, updateEntry } from '#kernel/ffi-bpf.ts'
import { NetlinkError } from '#kernel/netlink/conn.ts'
import type { FoundFilter } from '#kernel/netlink/filter.ts'
import { pinOfMap, pinOfProgram } from '#kernel/op.ts'
import type { EntryState, FilterState } from '#kernel/state.ts'

interface Kept {
  readonly fd: number
  /** Of the pin. */
  readonly inode: number
}

/** The pinned maps and programs as one thread uses them. Maps are opened once; each batch looks whether the pin is still the same. */
export class Pinned {
  readonly directory: string
  readonly #kept = new Map<MapName, Kept>()
  readonly #checked = new Set<MapName>()
  /** By pin: the number of the program, each look asks for three. */
  readonly #programs = new Map<string, { readonly inode: number; readonly id: number }>()

  constructor(directory: string) {
    this.directory = directory
  }

  /** Another batch begins. */
  recheck(): void {
    this.#checked.clear()
  }

  /** Lets go of all maps. */
  release(): void {
    closeAll([...this.#kept.values()].map(({ fd }) => fd))
    this.#kept.clear()
    this.#checked.clear()
    this.#programs.clear()
  }

  /** Undefined when the map is not pinned. */
  map(name: MapName): number | undefined {
    const kept = this.#kept.get(name)
    if (this.#checked.has(name)) return kept?.fd
    this.#checked.add(name)
    const inode = statSync(join(this.directory, pinOfMap(name)), { throwIfNoEntry: false })?.ino
    if (kept !== undefined && kept.inode === inode) return kept.fd
    if (kept !== undefined) close(kept.fd)
    this.#kept.delete(name)
    const fd = inode === undefined ? undefined : openMap(name, this.directory)
    if (fd !== undefined && inode !== undefined) this.#kept.set(name, { fd, inode })
    return fd
  }

  /** Throws NetlinkError when the map is not pinned, or takes keys or values of other sizes: the kernel would read on behind them. */
  put(name: MapName, keyHex: string, valueHex: string): void {
    const [fd, key, value] = [this.map(name), bytesOf(name, 'key', keyHex), bytesOf(name, 'value', valueHex)]
    if (fd === undefined) throw new NetlinkError('ENOENT', `there is no pinned map ${name}: the programs are not loaded`)
    updateEntry(fd, key, value)
  }

  delete(name: MapName, keyHex: string): void {
    const fd = this.map(name)
    if (fd !== undefined) deleteEntry(fd, bytesOf(name, 'key', keyHex))
  }

  entry(name: MapName, keyHex: string): EntryState | undefined {
    const fd = this.map(name)
    if (fd === undefined) return undefined
    const value = Buffer.alloc(valueSizeOf(name))
    return lookupEntry(fd, bytesOf(name, 'key', keyHex), value) ? { map: name, key: keyHex, value: value.toString('hex') } : undefined
  }

  /** The caller closes it. Throws NetlinkError when that generation is not loaded. */
  openProgram(generation: string, program: ProgramName): number {
    const fd = openPin(join(this.directory, pinOfProgram(generation, program)))
    if (fd === undefined) throw new NetlinkError('ENOENT', `the program ${program} of generation ${generation} is not loaded`)
    return fd
  }

  /** A filter that bears the name of one of ours must also run the program that is pinned, else it is named by its number: it may use maps that are pinned no more. */
  recognise({ block, name, program }: FoundFilter): FilterState {
    const ours = packetProgramNames.find(p => name.startsWith(`${p}.`))
    if (ours === undefined) return { block, name }
    const id = this.#idOf(pinOfProgram(name.slice(ours.length + 1), ours))
    return { block, name: id === undefined || id === program ? name : `program ${program}` }
  }

  /** As of a filter: of a program by its kind and its number. */
  nameOf(name: SocketProgram, program: number): string {
    const generation = this.#generations().find(g => this.#idOf(pinOfProgram(g, name)) === program)
    return generation === undefined ? `program ${program}` : `${name}.${generation}`
  }

  #generations(): string[] {
    const programs = join(this.directory, 'programs')
    return existsSync(programs) ? readdirSync(programs) : []
  }

  #idOf(pin: string): number | undefined {
    const path = join(this.directory, pin)
    const inode = statSync(path, { throwIfNoEntry: false })?.ino
    const known = this.#programs.get(pin)
    if (known !== undefined && known.inode === inode) return known.id
    this.#programs.delete(pin)
    const fd = inode === undefined ? undefined : openPin(path)
    if (fd === undefined || inode === undefined) return undefined
    const { id } = infoOfProgram(fd)
    close(fd)
    this.#programs.set(pin, { inode, id })
    return id
  }
}

function bytesOf(map: MapName, part: 'key' | 'value', hex: string): Buffer {
  const size = part === 'key' ? maps[map].key.size : valueSizeOf(map)
  const bytes = Buffer.from(hex, 'hex')
  if (bytes.length !== size || hex.length !== 2 * size) throw new NetlinkError('EINVAL', `a ${part} of the map ${map} has ${size} bytes`)
  return bytes
}
