// SPDX-License-Identifier: Apache-2.0
import { createHash } from 'node:crypto'
import { type MapName, maps } from '../../src/kernel/bpf/maps.ts'
import type { BpfObject, BpfProgram } from '../../src/kernel/bpf/object.ts'
import { programNames } from '../../src/kernel/bpf/programs.ts'
import { type Constants, placeConstants } from './constants.ts'
import { type Elf, type ElfSymbol, parseElf, type Relocation } from './elf.ts'

const instructionBytes = 8
const relocation64 = 1
const call = { opcode: 0x85, pseudo: 1 } as const

/**
 * One object of all files: every global function is a program, and what a loader must fill in is listed by name.
 * @throws Error naming the function and the symbol when something cannot be loaded so: a call of a function that was not inlined, a variable that is
 * not constant, a map that src/kernel/bpf/maps.ts does not have.
 */
export function flatten(objects: readonly Buffer[]): BpfObject {
  const files = objects.map(parseElf)
  const constants = placeConstants(files)
  const programs = files
    .flatMap(file => functionsOf(file).map(symbol => programOf(file, symbol, constants)))
    .sort((a, b) => programNames.indexOf(a.name) - programNames.indexOf(b.name))
  const rodata = { bytes: constants.bytes.toString('base64'), variables: constants.variables }
  return { programs, rodata, generation: generationOf({ programs, rodata }) }
}

function functionsOf(file: Elf): ElfSymbol[] {
  return file.symbols.filter(s => s.kind === 'function' && s.global && s.section !== undefined)
}

function programOf(file: Elf, symbol: ElfSymbol, constants: Constants): BpfProgram {
  const name = programNames.find(n => n === symbol.name)
  if (name === undefined) throw new Error(`${symbol.name} is no program: make it static and __always_inline`)
  const section = symbol.section ?? 0
  const end = symbol.value + symbol.size
  const code = Buffer.from(file.sections[section]?.data.subarray(symbol.value, end) ?? [])
  refuseCalls(file, symbol, code)
  const relocations = file.relocations
    .filter(r => r.section === section && r.offset >= symbol.value && r.offset < end)
    .map(r => relocate(file, symbol, r, code, constants))
  return { name, instructions: code.toString('base64'), relocations }
}

/** Calls between functions of one section are resolved by the compiler and leave no relocation. */
function refuseCalls(file: Elf, program: ElfSymbol, code: Buffer): void {
  for (let at = 0; at < code.length; at += instructionBytes) {
    if (code[at] !== call.opcode || code.readUInt8(at + 1) >> 4 !== call.pseudo) continue
    const symbol = file.relocations.find(r => r.section === program.section && r.offset === program.value + at)?.symbol
    const distance = (code.readInt32LE(at + 4) + 1) * instructionBytes
    const called = nameAt(file, symbol ?? program, distance + (symbol === undefined ? program.value + at : symbol.value))
    throw new Error(`${program.name} calls ${called}: make it __always_inline`)
  }
}

/** The instruction loses the offset that the compiler put in it: the entry of the list has it. */
function relocate(file: Elf, program: ElfSymbol, r: Relocation, code: Buffer, constants: Constants): BpfProgram['relocations'][number] {
  const { symbol } = r
  const offset = r.offset - program.value
  const at = offset / instructionBytes
  if (r.type !== relocation64 || symbol.section === undefined)
    throw new Error(`${program.name} needs ${symbol.name}, which is not in its file`)
  const target = symbol.value + code.readInt32LE(offset + 4)
  const name = nameAt(file, symbol, target)
  code.writeInt32LE(0, offset + 4)
  if (file.sections[symbol.section]?.name === '.maps') {
    if (!isMap(name)) throw new Error(`${program.name} uses the map ${name}, which src/kernel/bpf/maps.ts has not`)
    return { at, map: name, offset: 0 }
  }
  const constant = constants.offsetOf(file, symbol.section, target)
  if (constant === undefined) throw new Error(`${program.name} uses ${name}, which is neither a map nor a constant`)
  return { at, map: 'rodata', offset: constant }
}

/** What stands at a place that the compiler may have named by its section and an offset. */
function nameAt(file: Elf, near: ElfSymbol, offset: number): string {
  const exact = file.symbols.find(s => s.section === near.section && s.value === offset && s.kind !== 'section' && s.name !== '')
  return exact?.name || near.name || file.sections[near.section ?? 0]?.name || 'nothing'
}

function isMap(name: string): name is MapName {
  return Object.hasOwn(maps, name)
}

function generationOf(object: Omit<BpfObject, 'generation'>): string {
  const layouts = Object.values(maps).map(({ key, value, ...rest }) => ({ ...rest, key: key.fields, value: value.fields }))
  return createHash('sha256')
    .update(JSON.stringify([object, layouts]))
    .digest('hex')
    .slice(0, 12)
}
