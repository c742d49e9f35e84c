// SPDX-License-Identifier: Apache-2.0
import { type Family, familyOf, type Ip, isIpv4, toBytes } from '#net/ip.ts'
import { type Mac, macToBytes } from '#net/mac.ts'

/**
 * Packets byte by byte, as naive as can be: nothing here is shared with the programs or with the oracle that reads them. Whatever a test wants
 * to be wrong is written over a right packet, or cut off it.
 */

export const protocols = { icmp: 1, tcp: 6, udp: 17, icmp6: 58, sctp: 132 } as const
export const etherTypes = { ipv4: 0x800, arp: 0x806, vlan: 0x8100, ipv6: 0x86dd } as const

/** What is above IP. Checksums of most protocols take the addresses in. */
export interface Segment {
  protocol(family: Family): number
  bytes(source: Ip, destination: Ip): Buffer
}

export interface TcpOptions {
  readonly data?: Uint8Array
  /** Bytes of options, a multiple of four. */
  readonly options?: Uint8Array
  readonly acknowledges?: number
}
const tcpFlags: Readonly<Record<string, number>> = { F: 0x01, S: 0x02, R: 0x04, P: 0x08, A: 0x10 }

/** Flags as letters: 'S', 'SA', 'A', 'FA', 'R'. */
export function tcp(
  source: number,
  destination: number,
  flags: string,
  { data = noBytes, options = noBytes, acknowledges = 0 }: TcpOptions = {},
): Segment {
  const header = Buffer.alloc(20)
  header.writeUInt16BE(source, 0)
  header.writeUInt16BE(destination, 2)
  header.writeUInt32BE(0x01020304, 4)
  header.writeUInt32BE(acknowledges, 8)
  header[12] = ((20 + options.length) / 4) << 4
  header[13] = [...flags].reduce((sum, letter) => sum | (tcpFlags[letter] ?? 0), 0)
  header.writeUInt16BE(65535, 14)
  return summed(protocols.tcp, 16, Buffer.concat([header, options, data]))
}

export function udp(source: number, destination: number, data: Uint8Array = noBytes): Segment {
  const header = Buffer.alloc(8)
  header.writeUInt16BE(source, 0)
  header.writeUInt16BE(destination, 2)
  header.writeUInt16BE(8 + data.length, 4)
  return summed(protocols.udp, 6, Buffer.concat([header, data]))
}

/** SCTP's own sum is a CRC over the payload; no program looks at it. */
export function sctp(source: number, destination: number, data: Uint8Array = noBytes): Segment {
  const header = Buffer.alloc(12)
  header.writeUInt16BE(source, 0)
  header.writeUInt16BE(destination, 2)
  return raw(protocols.sctp, Buffer.concat([header, data]))
}

/** ICMP or ICMPv6, as the addresses are. `rest` follows type, code and checksum. */
export function icmp(type: number, code: number, rest: Uint8Array = Buffer.alloc(4)): Segment {
  const bytes = Buffer.concat([Uint8Array.of(type, code, 0, 0), rest])
  return {
    protocol: family => (family === 4 ? protocols.icmp : protocols.icmp6),
    bytes: (source, destination) =>
      isIpv4(source) ? withSum(bytes, 2, bytes) : withSum(bytes, 2, pseudoHeader(source, destination, protocols.icmp6, bytes)),
  }
}

/** An echo request or its reply, by the family of the addresses. */
export function echo(which: 'request' | 'reply', identifier: number, data: Uint8Array = noBytes): Segment {
  const rest = Buffer.alloc(4)
  rest.writeUInt16BE(identifier, 0)
  const of = (family: Family) =>
    icmp(which === 'request' ? { 4: 8, 6: 128 }[family] : { 4: 0, 6: 129 }[family], 0, Buffer.concat([rest, data]))
  return { protocol: family => of(family).protocol(family), bytes: (s, d) => of(familyOf(s)).bytes(s, d) }
}

/** An ICMP error that carries a packet, from its IP header on. */
export function icmpError(type: number, code: number, carried: Uint8Array): Segment {
  return icmp(type, code, Buffer.concat([Buffer.alloc(4), carried]))
}

/** Any other protocol. */
export function raw(protocol: number, bytes: Uint8Array): Segment {
  return { protocol: () => protocol, bytes: () => Buffer.from(bytes) }
}

export type Extension = { readonly header: 0 | 43 | 60; readonly units?: number } | { readonly header: 44; readonly fragment: Fragment }

export interface Fragment {
  readonly id: number
  /** In units of eight bytes. */
  readonly offset: number
  readonly more: boolean
}

export interface IpOptions {
  /** IPv4: bytes of options, a multiple of four. */
  readonly options?: Uint8Array
  readonly fragment?: Fragment
  /** IPv6, in order. */
  readonly extensions?: readonly Extension[]
  /** How many more hops it may take. */
  readonly hops?: number
}

/** One IP packet. A fragment gets the bytes of the segment from its offset on. */
export function ipPacket(
  source: Ip,
  destination: Ip,
  segment: Segment,
  { options = noBytes, fragment, extensions = [], hops = 64 }: IpOptions = {},
): Buffer {
  const whole = segment.bytes(source, destination)
  const fixed = { source, destination, hops }
  if (isIpv4(source)) return ipv4({ ...fixed, protocol: segment.protocol(4) }, options, fragment, whole)
  const all: readonly Extension[] = fragment === undefined ? extensions : [...extensions, { header: 44, fragment }]
  return ipv6({ ...fixed, protocol: segment.protocol(6) }, all, whole)
}

interface FixedFields {
  readonly source: Ip
  readonly destination: Ip
  readonly protocol: number
  readonly hops: number
}

function ipv4(
  { source, destination, protocol, hops }: FixedFields,
  options: Uint8Array,
  fragment: Fragment | undefined,
  payload: Buffer,
): Buffer {
  const header = Buffer.concat([Buffer.alloc(20), options])
  header[0] = 0x40 | (header.length / 4)
  header.writeUInt16BE(header.length + payload.length, 2)
  header.writeUInt16BE(fragment?.id ?? 0, 4)
  header.writeUInt16BE(fragment === undefined ? 0x4000 : (fragment.more ? 0x2000 : 0) | fragment.offset, 6)
  header[8] = hops
  header[9] = protocol
  header.set(toBytes(source), 12)
  header.set(toBytes(destination), 16)
  return Buffer.concat([withSum(header, 10, header), payload])
}

function ipv6({ source, destination, protocol, hops }: FixedFields, extensions: readonly Extension[], payload: Buffer): Buffer {
  const next = [...extensions.map(e => e.header), protocol]
  const chain = extensions.map((extension, i) => {
    if (extension.header !== 44) {
      const bytes = Buffer.alloc(8 * (1 + (extension.units ?? 0)))
      bytes[0] = next[i + 1] ?? 0
      bytes[1] = extension.units ?? 0
      return bytes
    }
    const { id, offset, more } = extension.fragment
    const bytes = Buffer.alloc(8)
    bytes[0] = next[i + 1] ?? 0
    bytes.writeUInt16BE((offset << 3) | (more ? 1 : 0), 2)
    bytes.writeUInt32BE(id, 4)
    return bytes
  })
  const body = Buffer.concat([...chain, payload])
  const header = Buffer.alloc(40)
  header[0] = 0x60
  header.writeUInt16BE(body.length, 4)
  header[6] = next[0] ?? 0
  header[7] = hops
  header.set(toBytes(source), 8)
  header.set(toBytes(destination), 24)
  return Buffer.concat([header, body])
}

export function frame(source: Mac, destination: Mac, etherType: number, payload: Uint8Array): Buffer {
  const type = Buffer.alloc(2)
  type.writeUInt16BE(etherType)
  return Buffer.concat([macToBytes(destination), macToBytes(source), type, payload])
}

/** The packet in a frame of the type that its first byte says. */
export function framed(source: Mac, destination: Mac, packet: Buffer): Buffer {
  return frame(source, destination, (packet[0] ?? 0) >> 4 === 6 ? etherTypes.ipv6 : etherTypes.ipv4, packet)
}

/** RFC 1071: the complement of the ones' complement sum of all 16-bit words. */
export function checksum(bytes: Uint8Array): number {
  let sum = 0
  for (let i = 0; i < bytes.length; i += 2) sum += ((bytes[i] ?? 0) << 8) | (bytes[i + 1] ?? 0)
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16)
  return ~sum & 0xffff
}

/** What the checksum of TCP, UDP and ICMPv6 covers. */
export function pseudoHeader(source: Ip, destination: Ip, protocol: number, bytes: Uint8Array): Buffer {
  const tail = Buffer.alloc(8)
  tail.writeUInt32BE(bytes.length, 0)
  tail.writeUInt32BE(protocol, 4)
  return Buffer.concat([toBytes(source), toBytes(destination), tail, bytes])
}

const noBytes = new Uint8Array()

function summed(protocol: number, at: number, bytes: Buffer): Segment {
  return {
    protocol: () => protocol,
    bytes: (source, destination) => withSum(bytes, at, pseudoHeader(source, destination, protocol, bytes)),
  }
}

function withSum(bytes: Buffer, at: number, covered: Uint8Array): Buffer {
  const copy = Buffer.from(bytes)
  copy.writeUInt16BE(checksum(covered), at)
  return copy
}
