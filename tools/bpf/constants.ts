// SPDX-License-Identifier: Apache-2.0
import type { Elf, ElfSymbol } from './elf.ts'

/** All constants of all files in one block of memory, which becomes one map. */
export interface Constants {
  readonly bytes: Buffer
  readonly variables: Readonly<Record<string, { readonly offset: number; readonly size: number }>>
  /** Where in `bytes` a byte of a section of a file went; undefined when it is no constant. */
  offsetOf(file: Elf, section: number, offset: number): number | undefined
}

interface Piece {
  readonly file: Elf
  readonly section: number
  readonly start: number
  readonly data: Buffer
  /** Undefined for what the compiler made itself: texts, tables. */
  readonly name: string | undefined
}

/** The strictest alignment of a constant; a piece keeps its offset modulo this. */
const alignment = 16

/**
 * A variable that several files have from one header is one variable, so that a loader sets it once.
 * @throws Error when two variables of one name differ.
 */
export function placeConstants(files: readonly Elf[]): Constants {
  const placed: { piece: Piece; offset: number }[] = []
  let end = 0
  for (const piece of files.flatMap(piecesOf)) {
    const same = placed.find(p => piece.name !== undefined && p.piece.name === piece.name)
    if (same !== undefined && !same.piece.data.equals(piece.data)) throw new Error(`two constants with the name ${piece.name}`)
    const offset = same?.offset ?? end + ((((piece.start - end) % alignment) + alignment) % alignment)
    placed.push({ piece, offset })
    end = Math.max(end, offset + piece.data.length)
  }
  const bytes = Buffer.alloc(end)
  for (const { piece, offset } of placed) piece.data.copy(bytes, offset)
  const named = placed.flatMap(({ piece: { name, data }, offset }) =>
    name === undefined ? [] : [[name, { offset, size: data.length }] as const],
  )
  return {
    bytes,
    variables: Object.fromEntries(named),
    offsetOf: (file, section, at) => {
      const found = placed.find(({ piece: p }) => p.file === file && p.section === section && at >= p.start && at < p.start + p.data.length)
      return found && found.offset + at - found.piece.start
    },
  }
}

/** Cuts each section of constants at its variables; what lies between them is a piece too. */
function piecesOf(file: Elf): Piece[] {
  return file.sections.flatMap((section, index) => {
    if (!/^\.rodata(\.|$)/.test(section.name)) return []
    const variables = file.symbols.filter((s: ElfSymbol) => s.section === index && s.kind === 'object').sort((a, b) => a.value - b.value)
    const pieces: Piece[] = []
    let at = 0
    const take = (end: number, name?: string) => {
      if (end > at) pieces.push({ file, section: index, start: at, data: section.data.subarray(at, end), name })
      at = Math.max(at, end)
    }
    for (const { name, value, size } of variables) {
      take(value)
      take(value + size, name)
    }
    take(section.data.length)
    return pieces
  })
}
