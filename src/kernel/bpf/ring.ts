// SPDX-License-Identifier: Apache-2.0
import type { ValueOf } from '#kernel/bpf/layout.ts'
import { nodePins, openMap } from '#kernel/bpf/pins.ts'
import { event } from '#kernel/bpf/structs.ts'
import { close } from '#kernel/ffi.ts'
import { infoOfMap } from '#kernel/ffi-bpf.ts'
import { type MappedRing, mapRing } from '#kernel/ffi-bpf-ring.ts'
import { KernelError } from '#kernel/port.ts'

export type Event = ValueOf<typeof event>

/** BPF_RINGBUF_BUSY_BIT: its program still writes it; BPF_RINGBUF_DISCARD_BIT: it has thought better of it. */
const [busy, discarded, lengthBits] = [0x80000000, 0x40000000, 0x3fffffff]
const headerSize = 8

/**
 * Reads what programs tell, from now on. Several may read one ring: each has its own place and sees every record, and the ring's one consumer position is
 * how far any of them has come. So a record may be written over before a slow reader has it; that is found out, and told as lost.
 */
export class EventReader {
  readonly #ring: MappedRing
  #at: bigint

  constructor(ring: MappedRing) {
    this.#ring = ring
    this.#at = ring.produced()
    this.#consume()
  }

  /** What has come since the last time. `lost`: some of it was written over. */
  read(): { readonly events: readonly Event[]; readonly lost: boolean } {
    const end = this.#ring.produced()
    if (end - this.#at > BigInt(this.#ring.size)) return this.#skip()
    const taken = recordsIn(this.#ring.bytes(this.#at, Number(end - this.#at)))
    if (this.#ring.produced() - this.#at > BigInt(this.#ring.size)) return this.#skip()
    this.#at += BigInt(taken.length)
    this.#consume()
    return { events: taken.records.filter(r => r.length === event.size).map(r => event.decode(r)), lost: false }
  }

  close(): void {
    this.#ring.close()
  }

  #skip(): { readonly events: readonly Event[]; readonly lost: boolean } {
    this.#at = this.#ring.produced()
    this.#consume()
    return { events: [], lost: true }
  }

  #consume(): void {
    if (this.#ring.consumed() < this.#at) this.#ring.consume(this.#at)
  }
}

/** Copies of the records up to the first that is still written, and how many bytes they take. A header is read before its record: it says that that is whole. */
export function recordsIn(bytes: Buffer): { readonly records: readonly Buffer[]; readonly length: number } {
  const records: Buffer[] = []
  let at = 0
  while (at + headerSize <= bytes.length) {
    const header = bytes.readUInt32LE(at)
    if ((header & busy) !== 0) break
    const length = header & lengthBits
    if ((header & discarded) === 0) records.push(Buffer.from(bytes.subarray(at + headerSize, at + headerSize + length)))
    at += Math.ceil((headerSize + length) / 8) * 8
  }
  return { records, length: at }
}

/** Opens the ring that is pinned. Throws KernelError. */
export function openEvents(pins = nodePins): EventReader {
  const fd = openMap('events', pins)
  if (fd === undefined) throw new KernelError('kernel-refused', 'no programs are loaded on this node')
  try {
    return new EventReader(mapRing(fd, infoOfMap(fd).entries))
  } finally {
    close(fd)
  }
}
