// SPDX-License-Identifier: Apache-2.0
import { type Family, fromBytes, type Ip } from '#net/ip.ts'

/** What one can tell of a packet from its bytes alone. */
export interface Read {
  readonly family: Family
  readonly source: Ip
  readonly destination: Ip
  readonly protocol: number
  readonly ports: Ports
  /** Of TCP; 0 otherwise. */
  readonly tcpFlags: number
  readonly kind: 'flow' | 'echo' | 'neighbour' | 'error'
  /** What an ICMP error carries; undefined when that is no IP header of the same family. */
  readonly carried?: Carried
  /** `later`: not the one with the ports. */
  readonly fragment?: { readonly id: number; readonly later: boolean }
  /** Where the transport begins in the packet, which begins with its IP header, and where the packet ends. */
  readonly at: number
  readonly end: number
  /** Bytes of the headers of IP and of what is above it, as repeated in each segment of a GSO packet. */
  readonly headers: number
}
export interface Ports {
  readonly source: number
  readonly destination: number
}
export interface Carried extends Pick<Read, 'source' | 'destination' | 'protocol' | 'ports'> {
  /** Where its ports are in it, when they are. */
  readonly portsAt?: number
}

/** `other`: no IP; `tagged` may have some behind tags of a VLAN, which are taken off after a program has run. `malformed` names the destination when the fixed header is there. */
export type Reading =
  | { readonly is: 'other'; readonly tagged: boolean }
  | { readonly is: 'malformed'; readonly destination?: Ip }
  | ({ readonly is: 'packet' } & Read)

export const ethernet = 14
export const protocols: Readonly<Record<'icmp' | 'tcp' | 'udp' | 'icmp6' | 'sctp', number>> = {
  icmp: 1,
  tcp: 6,
  udp: 17,
  icmp6: 58,
  sctp: 132,
}
const echoTypes: Readonly<Record<Family, readonly number[]>> = { 4: [8, 0], 6: [128, 129] }
const errorTypes: Readonly<Record<Family, readonly number[]>> = { 4: [3, 4, 5, 11, 12], 6: [1, 2, 3, 4] }
const extensions = [0, 43, 60, 44]
const mostExtensions = 4
export const noPorts: Ports = { source: 0, destination: 0 }

export function read(frame: Buffer, gsoSize: number): Reading {
  const type = frame.readUInt16BE(12)
  const packet = frame.subarray(ethernet)
  const family = type === 0x800 ? 4 : type === 0x86dd ? 6 : undefined
  if (family === undefined) return { is: 'other', tagged: type === 0x8100 || type === 0x88a8 }
  if (packet.length < fixed(family)) return { is: 'malformed' }
  const destination = addresses(packet, family).destination
  const network = family === 4 ? readIpv4(packet, gsoSize > 0) : readIpv6(packet, gsoSize > 0)
  const whole = network && readTransport(packet, network)
  if (whole === undefined || isMapped(packet, family)) return { is: 'malformed', destination }
  return { is: 'packet', ...whole }
}

const fixed = (family: Family) => (family === 4 ? 20 : 40)

function addresses(packet: Buffer, family: Family): { source: Ip; destination: Ip } {
  const [at, size] = family === 4 ? [12, 4] : [8, 16]
  return { source: fromBytes(packet.subarray(at, at + size)), destination: fromBytes(packet.subarray(at + size, at + 2 * size)) }
}

/** IPv4 addresses in an IPv6 packet would be taken for those of IPv4. */
function isMapped(packet: Buffer, family: Family): boolean {
  const prefix = Buffer.from('00000000000000000000ffff', 'hex')
  return family === 6 && (packet.subarray(8, 20).equals(prefix) || packet.subarray(24, 36).equals(prefix))
}

/** A packet down to where the transport begins: `at`, up to `end`. */
interface Network {
  readonly family: Family
  readonly source: Ip
  readonly destination: Ip
  readonly protocol: number
  readonly at: number
  readonly end: number
  readonly fragment?: { readonly id: number; readonly later: boolean }
  /** More extension headers than are read. */
  readonly opaque: boolean
}

function readIpv4(packet: Buffer, gso: boolean): Network | undefined {
  const first = packet[0] ?? 0
  const at = (first & 15) * 4
  const total = packet.readUInt16BE(2)
  const end = total === 0 && gso ? packet.length : total
  if (first >> 4 !== 4 || at < 20 || at > packet.length || end > packet.length || end < at) return undefined
  const word = packet.readUInt16BE(6)
  const fragment = (word & 0x3fff) === 0 ? {} : { fragment: { id: packet.readUInt16LE(4), later: (word & 0x1fff) !== 0 } }
  return { family: 4, ...addresses(packet, 4), protocol: packet[9] ?? 0, at, end, opaque: false, ...fragment }
}

function readIpv6(packet: Buffer, gso: boolean): Network | undefined {
  const payload = packet.readUInt16BE(4)
  const end = payload === 0 && gso ? packet.length : 40 + payload
  if ((packet[0] ?? 0) >> 4 !== 6 || end > packet.length) return undefined
  let next = packet[6] ?? 0
  let at = 40
  let fragment: Network['fragment']
  for (let n = 0; n < mostExtensions && extensions.includes(next) && fragment?.later !== true; n++) {
    if (at + 8 > end) return undefined
    if (next === 44) {
      const word = packet.readUInt16BE(at + 2)
      if ((word & 0xfff9) !== 0) fragment = { id: packet.readUInt32LE(at + 4), later: word >> 3 !== 0 }
    }
    const size = next === 44 ? 8 : 8 * (1 + (packet[at + 1] ?? 0))
    next = packet[at] ?? 0
    at += size
    if (at > end) return undefined
  }
  const opaque = extensions.includes(next)
  return { family: 6, ...addresses(packet, 6), protocol: next, at, end, opaque, ...(fragment && { fragment }) }
}

function readTransport(packet: Buffer, network: Network): Read | undefined {
  const { opaque, ...rest } = network
  const { at, end } = rest
  const plain: Read = { ...rest, ports: noPorts, tcpFlags: 0, kind: 'flow', headers: at }
  if (opaque || rest.fragment?.later === true) return plain
  const bytes = packet.subarray(at, end)
  switch (rest.protocol) {
    case protocols.tcp:
      // Flags in a second fragment would hide a SYN.
      if (bytes.length < 14) return undefined
      return { ...plain, ports: portsOf(bytes), tcpFlags: bytes[13] ?? 0, headers: at + ((bytes[12] ?? 0) >> 4) * 4 }
    case protocols.udp:
      return bytes.length < 4 ? undefined : { ...plain, ports: portsOf(bytes), headers: at + 8 }
    case protocols.sctp:
      return bytes.length < 4 ? undefined : { ...plain, ports: portsOf(bytes) }
    case rest.family === 4 ? protocols.icmp : protocols.icmp6:
      return readIcmp(bytes, plain)
    default:
      return plain
  }
}

function portsOf(bytes: Buffer): Ports {
  return { source: bytes.readUInt16BE(0), destination: bytes.readUInt16BE(2) }
}

function readIcmp(bytes: Buffer, plain: Read): Read | undefined {
  if (bytes.length < 2) return undefined
  const type = bytes[0] ?? 0
  if (plain.family === 6 && type >= 133 && type <= 137) return { ...plain, kind: 'neighbour' }
  if (echoTypes[plain.family].includes(type)) {
    if (bytes.length < 6) return undefined
    const identifier = bytes.readUInt16BE(4)
    return { ...plain, kind: 'echo', ports: { source: identifier, destination: identifier } }
  }
  if (!errorTypes[plain.family].includes(type)) return plain
  const carried = readCarried(bytes.subarray(8), plain.family)
  return { ...plain, kind: 'error', ...(carried && { carried }) }
}

/** The start of a packet in an ICMP error: its own lengths say more than is there, and ports that are cut off count as 0. */
function readCarried(packet: Buffer, family: Family): Carried | undefined {
  if (packet.length < fixed(family)) return undefined
  const whole = Buffer.from(packet)
  if (family === 4) whole.writeUInt16BE(packet.length, 2)
  else whole.writeUInt16BE(packet.length - 40, 4)
  const network = family === 4 ? readIpv4(whole, false) : readIpv6(whole, false)
  if (network === undefined) return undefined
  const { source, destination, protocol, at } = network
  const bytes = whole.subarray(at)
  const hasPorts = !network.opaque && network.fragment?.later !== true && isPorted(protocol) && bytes.length >= 4
  return { source, destination, protocol, ports: carriedPorts(bytes, network), ...(hasPorts && { portsAt: at }) }
}

/** Protocols that Services may be of. */
export function isPorted(protocol: number): boolean {
  return [protocols.tcp, protocols.udp, protocols.sctp].includes(protocol)
}

/** Of TCP only the first eight bytes are sure to be there. */
function carriedPorts(bytes: Buffer, { family, protocol, opaque, fragment }: Network): Ports {
  if (opaque || fragment?.later === true) return noPorts
  const { icmp, icmp6 } = protocols
  if (isPorted(protocol)) return bytes.length < 4 ? noPorts : portsOf(bytes)
  if (protocol !== (family === 4 ? icmp : icmp6) || !echoTypes[family].includes(bytes[0] ?? -1) || bytes.length < 6) return noPorts
  return { source: bytes.readUInt16BE(4), destination: bytes.readUInt16BE(4) }
}
