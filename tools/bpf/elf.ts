// SPDX-License-Identifier: Apache-2.0

/** What a compiler for BPF writes: a relocatable ELF64 file, little-endian. Only the parts that a loader needs. */
export interface Elf {
  readonly sections: readonly Section[]
  readonly symbols: readonly ElfSymbol[]
  readonly relocations: readonly Relocation[]
}

export interface Section {
  readonly name: string
  /** Has instructions. */
  readonly executable: boolean
  /** In memory at run time, unlike debug information. */
  readonly allocated: boolean
  readonly data: Buffer
}

export interface ElfSymbol {
  readonly name: string
  readonly kind: 'none' | 'object' | 'function' | 'section' | 'file'
  readonly global: boolean
  /** Its section by index; undefined when it is defined elsewhere or nowhere. */
  readonly section: number | undefined
  /** Offset into the section. */
  readonly value: number
  readonly size: number
}

export interface Relocation {
  /** The section whose bytes need the address of the symbol, and where in it. */
  readonly section: number
  readonly offset: number
  readonly type: number
  readonly symbol: ElfSymbol
}

const machineBpf = 247
const sectionType = { symbols: 2, none: 8, relocations: 9 } as const
const sectionFlag = { allocated: 2, executable: 4 } as const
const size = { header: 64, symbol: 24, relocation: 16 } as const
const symbolKinds = ['none', 'object', 'function', 'section', 'file'] as const
/** Section numbers from here on mean something else than a section. */
const reservedSections = 0xff00

/** @throws Error when the bytes are not such a file. */
export function parseElf(bytes: Buffer): Elf {
  if (bytes.length < size.header || bytes.readUInt32BE(0) !== 0x7f454c46) throw new Error('not an ELF file')
  if (bytes[4] !== 2 || bytes[5] !== 1 || bytes.readUInt16LE(18) !== machineBpf) throw new Error('not an ELF file of little-endian BPF')
  const headers = sectionHeaders(bytes)
  const names = headers[bytes.readUInt16LE(62)]?.data ?? Buffer.alloc(0)
  const symbols = symbolsOf(headers)
  return {
    sections: headers.map(h => ({
      name: text(names, h.name),
      executable: (h.flags & sectionFlag.executable) !== 0,
      allocated: (h.flags & sectionFlag.allocated) !== 0,
      data: h.data,
    })),
    symbols,
    relocations: headers.filter(h => h.type === sectionType.relocations).flatMap(h => relocationsOf(h, symbols)),
  }
}

interface Header {
  readonly name: number
  readonly type: number
  readonly flags: number
  readonly link: number
  readonly info: number
  readonly data: Buffer
}

function sectionHeaders(bytes: Buffer): Header[] {
  const table = number64(bytes, 40)
  const each = bytes.readUInt16LE(58)
  return Array.from({ length: bytes.readUInt16LE(60) }, (_, index) => {
    const at = table + index * each
    const type = bytes.readUInt32LE(at + 4)
    const [offset, length] = [number64(bytes, at + 24), number64(bytes, at + 32)]
    return {
      name: bytes.readUInt32LE(at),
      type,
      flags: number64(bytes, at + 8),
      link: bytes.readUInt32LE(at + 40),
      info: bytes.readUInt32LE(at + 44),
      data: type === sectionType.none ? Buffer.alloc(length) : bytes.subarray(offset, offset + length),
    }
  })
}

function symbolsOf(headers: readonly Header[]): ElfSymbol[] {
  const table = headers.find(h => h.type === sectionType.symbols)
  if (table === undefined) return []
  const names = headers[table.link]?.data ?? Buffer.alloc(0)
  return records(table.data, size.symbol).map(record => {
    const info = record.readUInt8(4)
    const section = record.readUInt16LE(6)
    return {
      name: text(names, record.readUInt32LE(0)),
      kind: symbolKinds[info & 0xf] ?? 'none',
      global: info >> 4 !== 0,
      section: section === 0 || section >= reservedSections ? undefined : section,
      value: number64(record, 8),
      size: number64(record, 16),
    }
  })
}

function relocationsOf({ info, data }: Header, symbols: readonly ElfSymbol[]): Relocation[] {
  return records(data, size.relocation).map(record => {
    const symbol = symbols[record.readUInt32LE(12)]
    if (symbol === undefined) throw new Error('a relocation names no symbol')
    return { section: info, offset: number64(record, 0), type: record.readUInt32LE(8), symbol }
  })
}

function records(data: Buffer, each: number): Buffer[] {
  return Array.from({ length: Math.floor(data.length / each) }, (_, index) => data.subarray(index * each, (index + 1) * each))
}

function text(table: Buffer, at: number): string {
  const end = table.indexOf(0, at)
  return table.toString('latin1', at, end < 0 ? table.length : end)
}

function number64(bytes: Buffer, at: number): number {
  return Number(bytes.readBigUInt64LE(at))
}
