// SPDX-License-Identifier: Apache-2.0
import { fromBytes, type Ip, type Ipv4, isIpv4, toBytes } from '#net/ip.ts'
import { type Mac, macFromBytes, macToBytes } from '#net/mac.ts'

/** The value of each kind of field. Addresses and ports are in network order, all else little-endian. */
export interface Kinds {
  u8: number
  u16: number
  u32: number
  u64: bigint
  /** A port. */
  be16: number
  /** Four bytes; undefined is all zeros. */
  ip4: Ipv4 | undefined
  /** Sixteen bytes, IPv4 as ::ffff:a.b.c.d, so that one map serves both families; undefined is all zeros. */
  ip: Ip | undefined
  mac: Mac | undefined
  /** Sixteen bytes that end with a zero: what the kernel calls a process. */
  task: string
}
export type Kind = keyof Kinds
/** Name to kind, in the order of the bytes. Names that begin with `spare` are zero and for later fields. */
export type Fields = Readonly<Record<string, Kind>>

const sizes: Readonly<Record<Kind, number>> = { u8: 1, u16: 2, u32: 4, u64: 8, be16: 2, ip4: 4, ip: 16, mac: 6, task: 16 }
const alignments: Readonly<Record<Kind, number>> = { u8: 1, u16: 2, u32: 4, u64: 8, be16: 2, ip4: 4, ip: 4, mac: 2, task: 1 }

export interface Field {
  readonly name: string
  readonly kind: Kind
  readonly offset: number
  readonly size: number
}

/** The layout of a key or value of a map: bytes to values and back. What a value does not name is zero. */
export interface Struct<F extends Fields> {
  readonly name: string
  readonly size: number
  readonly fields: readonly Field[]
  encode(value: Partial<Values<F>>): Buffer
  /** Throws RangeError when the bytes are not of this size. */
  decode(bytes: Uint8Array): Values<F>
}
export type Values<F extends Fields> = { readonly [N in keyof F]: Kinds[F[N]] }
export type ValueOf<S> = S extends Struct<infer F> ? Values<F> : never

/** Throws when a field would need padding or the sum is not `size`: the layouts are the contract with the programs, and are written out whole. */
export function struct<const F extends Fields>(name: string, size: number, kinds: F): Struct<F> {
  let end = 0
  const fields = Object.entries(kinds).map(([field, kind]): Field => {
    const offset = end
    if (offset % alignments[kind] !== 0) throw new RangeError(`${name}.${field} is not aligned at ${offset}`)
    end += sizes[kind]
    return { name: field, kind, offset, size: sizes[kind] }
  })
  if (end !== size) throw new RangeError(`${name} has ${end} bytes, not ${size}`)
  return {
    name,
    size,
    fields,
    encode: value => {
      const bytes = Buffer.alloc(size)
      for (const f of fields) {
        const v = value[f.name]
        if (v !== undefined) write(bytes, f, v)
      }
      return bytes
    },
    decode: data => {
      if (data.length !== size) throw new RangeError(`${name} has ${size} bytes, not ${data.length}`)
      const bytes = Buffer.from(data.buffer, data.byteOffset, data.length)
      // The loop gives each name the value of its kind, which the compiler cannot follow.
      return Object.fromEntries(fields.map(f => [f.name, read(bytes, f)])) as Values<F>
    },
  }
}

function write(bytes: Buffer, { kind, offset, size }: Field, value: NonNullable<Kinds[Kind]>): void {
  if (kind === 'task') bytes.write(String(value), offset, size - 1)
  else if (typeof value === 'bigint') bytes.writeBigUInt64LE(value, offset)
  else if (typeof value === 'number') {
    if (kind === 'be16') bytes.writeUInt16BE(value, offset)
    else bytes.writeUIntLE(value, offset, size)
  } else bytes.set(kind === 'mac' ? macToBytes(value as Mac) : kind === 'ip' ? mapped(value as Ip) : toBytes(value as Ip), offset)
}

function read(bytes: Buffer, { kind, offset, size }: Field): Kinds[Kind] {
  const part = bytes.subarray(offset, offset + size)
  switch (kind) {
    case 'u64':
      return part.readBigUInt64LE(0)
    case 'be16':
      return part.readUInt16BE(0)
    case 'mac':
      return part.every(b => b === 0) ? undefined : macFromBytes(part)
    case 'ip4':
      return part.every(b => b === 0) ? undefined : (fromBytes(part) as Ipv4)
    case 'ip':
      return part.every(b => b === 0) ? undefined : unmapped(part)
    case 'task':
      return part.toString('utf8', 0, part.indexOf(0) < 0 ? size : part.indexOf(0))
    default:
      return part.readUIntLE(0, size)
  }
}

/** Twelve bytes before an IPv4 address: ::ffff:0:0/96. */
const v4Prefix = Uint8Array.of(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff)

function mapped(ip: Ip): Uint8Array {
  return isIpv4(ip) ? Uint8Array.of(...v4Prefix, ...toBytes(ip)) : toBytes(ip)
}

function unmapped(bytes: Buffer): Ip {
  return fromBytes(bytes.subarray(0, v4Prefix.length).equals(v4Prefix) ? bytes.subarray(v4Prefix.length) : bytes)
}
