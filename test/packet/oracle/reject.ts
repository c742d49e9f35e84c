// SPDX-License-Identifier: Apache-2.0
import { toBytes } from '#net/ip.ts'
import { checksum, etherTypes, pseudoHeader } from '../build.ts'
import { ethernet, protocols, type Read } from './read.ts'
import { isMulticast } from './step.ts'

const flag = { fin: 1, syn: 2, rst: 4, ack: 16 } as const

/** What tells a client that there is nobody: a frame back to where its packet came from; undefined when it gets no answer. */
export function refusal(frame: Buffer, packet: Read, gsoSize: number): Buffer | undefined {
  const { family, fragment, destination, protocol, at, end, tcpFlags } = packet
  const fixed = family === 4 ? 20 : 40
  if (gsoSize > 0 || fragment !== undefined || isMulticast(destination) || at !== fixed) return undefined
  const isTcp = protocol === protocols.tcp
  if (end - at < (isTcp ? 20 : 8) || (isTcp && (tcpFlags & flag.rst) !== 0)) return undefined
  if (isTcp && at + ((frame[ethernet + at + 12] ?? 0) >> 4) * 4 > end) return undefined
  const segment = isTcp ? reset(frame, packet) : unreachable(frame, packet)
  const macs = [frame.subarray(6, 12), frame.subarray(0, 6)]
  const type = Buffer.alloc(2)
  type.writeUInt16BE(family === 4 ? etherTypes.ipv4 : etherTypes.ipv6)
  return Buffer.concat([...macs, type, header(packet, isTcp ? protocols.tcp : icmpOf(family), segment.length), segment])
}

const icmpOf = (family: Read['family']) => (family === 4 ? protocols.icmp : protocols.icmp6)

function header({ family, source, destination }: Read, protocol: number, length: number): Buffer {
  const bytes = Buffer.alloc(family === 4 ? 20 : 40)
  if (family === 4) {
    bytes[0] = 0x45
    bytes.writeUInt16BE(20 + length, 2)
    bytes.writeUInt16BE(0x4000, 6)
    bytes.set([64, protocol], 8)
    bytes.set([...toBytes(destination), ...toBytes(source)], 12)
    bytes.writeUInt16BE(checksum(bytes), 10)
  } else {
    bytes[0] = 0x60
    bytes.writeUInt16BE(length, 4)
    bytes.set([protocol, 64], 6)
    bytes.set([...toBytes(destination), ...toBytes(source)], 8)
  }
  return bytes
}

function reset(frame: Buffer, { at, end, source, destination, ports, tcpFlags }: Read): Buffer {
  const old = frame.subarray(ethernet + at, ethernet + end)
  const bytes = Buffer.alloc(20)
  bytes.writeUInt16BE(ports.destination, 0)
  bytes.writeUInt16BE(ports.source, 2)
  if ((tcpFlags & flag.ack) !== 0) {
    bytes.writeUInt32BE(old.readUInt32BE(8), 4)
    bytes[13] = flag.rst
  } else {
    const payload = old.length - ((old[12] ?? 0) >> 4) * 4
    const ends = ((tcpFlags & flag.syn) !== 0 ? 1 : 0) + ((tcpFlags & flag.fin) !== 0 ? 1 : 0)
    bytes.writeUInt32BE((old.readUInt32BE(4) + ends + payload) >>> 0, 8)
    bytes[13] = flag.rst | flag.ack
  }
  bytes[12] = 5 << 4
  bytes.writeUInt16BE(checksum(pseudoHeader(destination, source, protocols.tcp, bytes)), 16)
  return bytes
}

/** Port unreachable, with the header of the packet and 8 bytes of what is above it. */
function unreachable(frame: Buffer, { family, at, source, destination }: Read): Buffer {
  const [type, code] = family === 4 ? [3, 3] : [1, 4]
  const bytes = Buffer.concat([Uint8Array.of(type, code, 0, 0, 0, 0, 0, 0), frame.subarray(ethernet, ethernet + at + 8)])
  bytes.writeUInt16BE(checksum(family === 4 ? bytes : pseudoHeader(destination, source, protocols.icmp6, bytes)), 2)
  return bytes
}
