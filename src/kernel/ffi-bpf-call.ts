// SPDX-License-Identifier: Apache-2.0
import koffi from 'koffi'
import { check, nameOfError, systemCall } from '#kernel/ffi.ts'

/** One call of bpf(2), synchronous, on the calling thread. */

const syscall = systemCall('long syscall(long number, long command, void *attr, long size)')

const sysBpf = process.arch === 'arm64' ? 280 : 321
const command = {
  createMap: 0,
  lookup: 1,
  update: 2,
  delete: 3,
  nextKey: 4,
  loadProgram: 5,
  pin: 6,
  openPin: 7,
  run: 10,
  programById: 13,
  mapById: 14,
  info: 15,
  freeze: 22,
  lookupBatch: 24,
  updateBatch: 26,
  createLink: 28,
  updateLink: 29,
  detachLink: 34,
} as const
/** Longer names are cut. */
const longestName = 15

/** union bpf_attr: numbers at their offsets, and buffers by their addresses. */
export class Attr {
  readonly #bytes: Buffer
  /** An address alone does not keep its buffer alive. */
  readonly #buffers: Uint8Array[] = []

  constructor(size: number) {
    this.#bytes = Buffer.alloc(size)
  }

  u32(offset: number, value: number): this {
    this.#bytes.writeUInt32LE(value, offset)
    return this
  }

  pointer(offset: number, buffer: Uint8Array): this {
    this.#buffers.push(buffer)
    this.#bytes.writeBigUInt64LE(koffi.address(buffer), offset)
    return this
  }

  name(offset: number, name: string): this {
    this.#bytes.write(name.slice(0, longestName), offset, 'latin1')
    return this
  }

  read(offset: number): number {
    return this.#bytes.readUInt32LE(offset)
  }

  /** Throws SystemCallError. The verifier answers EAGAIN when a signal comes: such a call is made again a few times. */
  call(name: keyof typeof command): number {
    const asked = Buffer.from(this.#bytes)
    for (let again = 5; ; again--) {
      const result = syscall(sysBpf, command[name], this.#bytes, this.#bytes.length)
      if (again === 0 || nameOfError(result) !== 'EAGAIN') {
        check(`bpf ${name}`, result)
        this.#buffers.length = 0
        return result
      }
      // The kernel may have written into it.
      this.#bytes.set(asked)
    }
  }
}

/** What the kernel says of a map, a program or a link, into a buffer of the size that is wanted of it. */
export function infoOf(fd: number, into: Buffer): Buffer {
  new Attr(16).u32(0, fd).u32(4, into.length).pointer(8, into).call('info')
  return into
}
