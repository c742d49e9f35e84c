// SPDX-License-Identifier: Apache-2.0
import { existsSync, readdirSync, renameSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { connectionTables, copyAll, copyChanged, copyNewer, type Move } from '#kernel/bpf/copy.ts'
import { featuresOf } from '#kernel/bpf/features.ts'
import { type MapSizes, makeMap, makeProgram, withConstants } from '#kernel/bpf/load.ts'
import { type MapName, maps } from '#kernel/bpf/maps.ts'
import type { BpfObject, ProgramName } from '#kernel/bpf/object.ts'
import { seenNow, unitsPerSecond } from '#kernel/bpf/seen.ts'
import { serviceWord } from '#kernel/bpf/words.ts'
import { close } from '#kernel/ffi.ts'
import { closeAll, infoOfMap, infoOfProgram, openMapById, openPin, openProgramById, pinObject, updateEntry } from '#kernel/ffi-bpf.ts'
import { pinOfMap, pinOfProgram } from '#kernel/op.ts'

/** What packets meet now. */
export interface Runner {
  /** Numbers of the programs. */
  readonly programs: readonly number[]
  /** Runs these in the place of their namesakes, all in one step: a process that ends has done it or not. */
  swap(programs: ReadonlyMap<ProgramName, number>): void
}

/** A pin that is to take the place of another. The file system takes no names with dots. */
const unfinished = '-new'

/** Takes away what a process left that ended between a pin and its renaming. */
export function removeUnfinished(directory: string): void {
  const pins = join(directory, 'maps')
  if (!existsSync(pins)) return
  for (const pin of readdirSync(pins)) if (pin.endsWith(unfinished)) rmSync(join(pins, pin), { force: true })
}

/**
 * Programs may run with tables of connections that are pinned nowhere: a process ended in `resizeTables`, or somebody took a pin away. Those that
 * run know the flows of now, so they are pinned again. Tables of another layout have pins of their own.
 */
export function pinRunning(directory: string, running: readonly number[]): void {
  const used = new Set(running.flatMap(mapsOf))
  const lost = connectionTables.filter(table => !used.has(numberOfPin(join(directory, pinOfMap(table)))))
  if (used.size === 0 || lost.length === 0) return
  const pins = join(directory, 'maps')
  for (const pin of readdirSync(pins)) used.delete(numberOfPin(join(pins, pin)))
  for (const number of used) {
    const fd = openMapById(number)
    if (fd === undefined) continue
    const found = infoOfMap(fd)
    const table = lost.find(t => t === found.name && maps[t].key.size === found.keySize && maps[t].value.size === found.valueSize)
    if (table !== undefined) pinInPlace(fd, join(directory, pinOfMap(table)))
    close(fd)
  }
}

/**
 * Gives tables of connections the sizes that are wanted, while programs use them: others are made, filled, and used by programs that take the place of those
 * that run. `pinned` are the maps before and afterwards. Until the swap nothing but a program's pin is another; from the swap on `pinRunning` ends what is left.
 */
export function resizeTables(object: BpfObject, directory: string, sizes: MapSizes, pinned: Map<MapName, number>, runner: Runner): void {
  const moves: Move[] = []
  try {
    for (const table of connectionTables) {
      const from = pinned.get(table)
      if (from === undefined || infoOfMap(from).entries === (sizes[table] ?? infoOfMap(from).entries)) continue
      moves.push({ table, from, to: makeMap(table, sizes) })
    }
  } catch (e) {
    closeAll(moves.map(m => m.to))
    throw e
  }
  if (moves.length === 0) return
  for (const { table, to } of moves) pinned.set(table, to)
  try {
    const began = copyAll(moves)
    withProgramsOf(object, moves, pinned, programs => {
      const pins = [...programs].map(([name, fd]) => ({ pin: join(directory, pinOfProgram(object.generation, name)), fd }))
      // A filter whose program is not the pinned one would be given that one, by whoever looks.
      for (const { pin } of pins) rmSync(pin, { force: true })
      // The first round has the load of the programs to make up for, the second the first.
      const first = copyChanged(moves, began)
      sayMoving(pinned, (seenNow() + patience * unitsPerSecond) >>> 0)
      const last = copyChanged(moves, first)
      runner.swap(programs)
      copyNewer(moves, last)
      sayMoving(pinned, 0)
      for (const { table, to } of moves) pinInPlace(to, join(directory, pinOfMap(table)))
      for (const { pin, fd } of pins) pinObject(fd, pin)
    })
  } finally {
    closeAll(moves.map(m => m.from))
  }
}

/** Of a last copy and of what follows, at most, in seconds: programs do not believe in more. */
const patience = 10

/** From the last copy on entries may be missing for a moment: the programs are told until when. */
function sayMoving(pinned: ReadonlyMap<MapName, number>, until: number): void {
  const { service_states } = maps
  const fd = pinned.get('service_states')
  if (fd === undefined) return
  updateEntry(fd, service_states.key.encode({ index: serviceWord.movingUntil }), service_states.value.encode({ value: BigInt(until) }))
}

/** Those that use one of the tables. */
function withProgramsOf(
  object: BpfObject,
  moves: readonly Move[],
  pinned: ReadonlyMap<MapName, number>,
  fn: (programs: ReadonlyMap<ProgramName, number>) => void,
): void {
  const isMoved = (name: MapName | 'rodata') => moves.some(m => m.table === name)
  withConstants(object, featuresOf(object), pinned, fds => {
    const programs = new Map<ProgramName, number>()
    try {
      for (const program of object.programs) {
        if (program.relocations.some(r => isMoved(r.map))) programs.set(program.name, makeProgram(program, fds))
      }
      fn(programs)
    } finally {
      closeAll(programs.values())
    }
  })
}

function pinInPlace(fd: number, pin: string): void {
  pinObject(fd, `${pin}${unfinished}`)
  renameSync(`${pin}${unfinished}`, pin)
}

/** None of a program that has ended meanwhile. */
function mapsOf(program: number): readonly number[] {
  const fd = openProgramById(program)
  if (fd === undefined) return []
  try {
    return infoOfProgram(fd).maps
  } finally {
    close(fd)
  }
}

/** 0 when there is no such pin. */
function numberOfPin(pin: string): number {
  const fd = openPin(pin)
  if (fd === undefined) return 0
  try {
    return infoOfMap(fd).id
  } finally {
    close(fd)
  }
}
