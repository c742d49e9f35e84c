// SPDX-License-Identifier: Apache-2.0
import { align } from '#kernel/netlink/header.ts'

const attrHeader = 4
const nestedFlag = 0x8000
const typeMask = 0x3fff

/** The body of a message: a family's fixed struct, then attributes (length u16, type u16, value, padding). Grows as needed. */
export class Body {
  #data = Buffer.alloc(256)
  #length = 0

  u8(...values: readonly number[]): this {
    for (const v of values) {
      this.#reserve(1)
      this.#data.writeUInt8(v, this.#length)
      this.#length += 1
    }
    return this
  }

  u16(value: number): this {
    this.#reserve(2)
    this.#data.writeUInt16LE(value, this.#length)
    this.#length += 2
    return this
  }

  /** Negative numbers are written as their two's complement. */
  u32(...values: readonly number[]): this {
    for (const v of values) {
      this.#reserve(4)
      this.#data.writeUInt32LE(v >>> 0, this.#length)
      this.#length += 4
    }
    return this
  }

  attr(type: number, value: Uint8Array): this {
    this.u16(attrHeader + value.length).u16(type)
    this.#reserve(align(value.length))
    this.#data.set(value, this.#length)
    this.#data.fill(0, this.#length + value.length, this.#length + align(value.length))
    this.#length += align(value.length)
    return this
  }

  attrU32(type: number, value: number): this {
    return this.u16(attrHeader + 4)
      .u16(type)
      .u32(value)
  }

  attrU64(type: number, value: bigint): this {
    const bytes = Buffer.alloc(8)
    bytes.writeBigUInt64LE(value)
    return this.attr(type, bytes)
  }

  /** Zero-terminated, as the kernel wants names. */
  attrString(type: number, value: string): this {
    return this.attr(type, Buffer.from(`${value}\0`, 'utf8'))
  }

  nest(type: number, fill: (body: this) => void): this {
    const start = this.#length
    this.u16(0).u16(type | nestedFlag)
    fill(this)
    this.#data.writeUInt16LE(this.#length - start, start)
    return this
  }

  bytes(): Buffer {
    return this.#data.subarray(0, this.#length)
  }

  #reserve(more: number): void {
    if (this.#length + more <= this.#data.length) return
    const grown = Buffer.alloc(Math.max(this.#data.length * 2, this.#length + more))
    this.#data.copy(grown, 0, 0, this.#length)
    this.#data = grown
  }
}

/** Walks the attributes in a range: `while (attrs.next()) switch (attrs.type) …`. Throws RangeError on a malformed length. */
export class Attrs {
  readonly #data: Buffer
  readonly #end: number
  #next: number
  #start = 0
  #stop = 0
  type = 0

  constructor(data: Buffer, start: number, end: number) {
    this.#data = data
    this.#next = start
    this.#end = end
  }

  next(): boolean {
    if (this.#next + attrHeader > this.#end) return false
    const length = this.#data.readUInt16LE(this.#next)
    if (length < attrHeader || this.#next + length > this.#end) throw new RangeError(`malformed netlink attribute of length ${length}`)
    this.type = this.#data.readUInt16LE(this.#next + 2) & typeMask
    this.#start = this.#next + attrHeader
    this.#stop = this.#next + length
    this.#next += align(length)
    return true
  }

  u8(): number {
    return this.#data.readUInt8(this.#start)
  }

  u32(): number {
    return this.#data.readUInt32LE(this.#start)
  }

  i32(): number {
    return this.#data.readInt32LE(this.#start)
  }

  u64(): bigint {
    return this.#data.readBigUInt64LE(this.#start)
  }

  /** Without the terminating zero. */
  string(): string {
    const zero = this.#data.indexOf(0, this.#start)
    return this.#data.toString('utf8', this.#start, zero >= 0 && zero < this.#stop ? zero : this.#stop)
  }

  /** A view that is valid only until the next message is received; copy what must last. */
  bytes(): Buffer {
    return this.#data.subarray(this.#start, this.#stop)
  }

  nested(): Attrs {
    return new Attrs(this.#data, this.#start, this.#stop)
  }
}
