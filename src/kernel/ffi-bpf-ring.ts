// SPDX-License-Identifier: Apache-2.0
import koffi from 'koffi'
import { check, systemCall } from '#kernel/ffi.ts'

/** A ring buffer of programs, as the kernel maps it into a process: a page that readers write, one that the kernel writes, and the records, twice in a row. */

const mmap = systemCall('long mmap(void *address, size_t length, int protection, int flags, int fd, long offset)')
const munmap = systemCall('int munmap(void *address, size_t length)')
const sysconf = systemCall('long sysconf(int name)')

const [protRead, protWrite, mapShared] = [1, 2, 1]
const scPageSize = 30

/** Positions count bytes since the ring was made. */
export interface MappedRing {
  readonly size: number
  /** Up to where records are. */
  produced(): bigint
  /** Up to where somebody has read: what is before it gives way to new records. */
  consumed(): bigint
  consume(position: bigint): void
  /** `length` bytes from there on, at most `size`: the kernel's own memory, until `close`. */
  bytes(position: bigint, length: number): Buffer
  /** What `bytes` gave must not be touched any more. */
  close(): void
}

/** Of a map of `size` bytes; its descriptor may be closed afterwards. Throws SystemCallError. */
export function mapRing(fd: number, size: number): MappedRing {
  const page = sysconf(scPageSize)
  const reader = map(fd, page, protRead | protWrite, 0)
  let kernel: Mapping
  try {
    kernel = map(fd, page + 2 * size, protRead, page)
  } catch (e) {
    reader.unmap()
    throw e
  }
  const [consumer, producer] = [new BigUint64Array(reader.memory, 0, 1), new BigUint64Array(kernel.memory, 0, 1)]
  return {
    size,
    produced: () => Atomics.load(producer, 0),
    consumed: () => Atomics.load(consumer, 0),
    consume: position => {
      Atomics.store(consumer, 0, position)
    },
    bytes: (position, length) => Buffer.from(kernel.memory, page + Number(position % BigInt(size)), length),
    close: () => {
      reader.unmap()
      kernel.unmap()
    },
  }
}

interface Mapping {
  readonly memory: ArrayBuffer
  unmap(): void
}

function map(fd: number, length: number, protection: number, offset: number): Mapping {
  const address = BigInt(check('mmap', mmap(null, length, protection, mapShared, fd, offset)))
  return { memory: koffi.view(address, length), unmap: () => munmap(address, length) }
}
