// SPDX-License-Identifier: Apache-2.0

/** The 16 bytes before every netlink message (linux/netlink.h), and the numbers that occur in them. */
export interface Header {
  /** Length of the whole message, header included. */
  readonly length: number
  readonly type: number
  readonly flags: number
  readonly sequence: number
  readonly portId: number
}

export const headerSize = 16

export const messageType = { noop: 1, error: 2, done: 3, overrun: 4 } as const

export const flag = {
  request: 0x1,
  multi: 0x2,
  ack: 0x4,
  /** Send the result to the asker too, not only to the group that listens. */
  echo: 0x8,
  /** The dump changed while it was made: it may lack entries. */
  dumpInterrupted: 0x10,
  /** On an error: the request is not repeated behind it. */
  capped: 0x100,
  /** On an error: attributes with the kernel's explanation follow. */
  ackTlvs: 0x200,
  dump: 0x300,
  replace: 0x100,
  exclusive: 0x200,
  create: 0x400,
  append: 0x800,
} as const

/** rtnetlink's message types (linux/rtnetlink.h). */
export const rtm = {
  newLink: 16,
  delLink: 17,
  getLink: 18,
  setLink: 19,
  newAddr: 20,
  delAddr: 21,
  getAddr: 22,
  newRoute: 24,
  delRoute: 25,
  getRoute: 26,
  newNeigh: 28,
  getNeigh: 30,
  newRule: 32,
  delRule: 33,
  getRule: 34,
  newQdisc: 36,
  delQdisc: 37,
  getQdisc: 38,
  newFilter: 44,
  getFilter: 46,
  newNsid: 88,
  getNsid: 90,
} as const

export const addressFamily = { unspec: 0, inet: 2, inet6: 10 } as const

export function readHeader(data: Buffer, at: number): Header {
  return {
    length: data.readUInt32LE(at),
    type: data.readUInt16LE(at + 4),
    flags: data.readUInt16LE(at + 6),
    sequence: data.readUInt32LE(at + 8),
    portId: data.readUInt32LE(at + 12),
  }
}

export function writeHeader(data: Buffer, h: Header): void {
  data.writeUInt32LE(h.length, 0)
  data.writeUInt16LE(h.type, 4)
  data.writeUInt16LE(h.flags, 6)
  data.writeUInt32LE(h.sequence, 8)
  data.writeUInt32LE(h.portId, 12)
}

/** Messages and attributes start at multiples of four. */
export function align(length: number): number {
  return (length + 3) & ~3
}
