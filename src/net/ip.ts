// SPDX-License-Identifier: Apache-2.0
import ipaddr from 'ipaddr.js'
import type { Brand } from '#lib/brand.ts'
import { AppError } from '#lib/errors.ts'

export type Family = 4 | 6
/** Dotted quad, canonical. */
export type Ipv4 = Brand<string, 'Ipv4'>
/** RFC 5952 text: lower case, longest run of zeros compressed. */
export type Ipv6 = Brand<string, 'Ipv6'>
export type Ip = Ipv4 | Ipv6

/** Parses one address into its canonical text; undefined when it is none. IPv4 must be four decimal parts; no zone index. */
export function tryParseIp(text: string): Ip | undefined {
  if (ipaddr.IPv4.isValidFourPartDecimal(text)) return ipaddr.IPv4.parse(text).toString() as Ipv4
  if (!text.includes(':') || text.includes('%') || !ipaddr.IPv6.isValid(text)) return undefined
  return ipaddr.IPv6.parse(text).toRFC5952String() as Ipv6
}

/**
 * As Kubernetes takes it in fields of long ago: numbers with zeros in front are decimal (elsewhere they would be octal), and an IPv4-mapped address is the
 * IPv4 one.
 */
export function tryParseLegacyIp(text: string): Ip | undefined {
  const ip = tryParseIp(text) ?? tryParseIp(text.replace(/(^|[.:])0+(?=\d)/g, '$1'))
  const mapped = /^::ffff:([\da-f]{1,4}):([\da-f]{1,4})$/.exec(ip ?? '')
  if (mapped === null) return ip
  const [high, low] = mapped.slice(1).map(group => Number.parseInt(group, 16)) as [number, number]
  return fromBytes(Uint8Array.of(high >> 8, high & 255, low >> 8, low & 255))
}

export function parseIp(text: string): Ip {
  const ip = tryParseIp(text)
  if (ip === undefined) throw new AppError('bad-ip', `${JSON.stringify(text)} is not an IP address`)
  return ip
}

export function parseIpv4(text: string): Ipv4 {
  const ip = parseIp(text)
  if (!isIpv4(ip)) throw new AppError('bad-ip', `${text} is not an IPv4 address`)
  return ip
}

export function parseIpv6(text: string): Ipv6 {
  const ip = parseIp(text)
  if (!isIpv6(ip)) throw new AppError('bad-ip', `${text} is not an IPv6 address`)
  return ip
}

export function isIpv4(ip: Ip): ip is Ipv4 {
  return !ip.includes(':')
}

export function isIpv6(ip: Ip): ip is Ipv6 {
  return ip.includes(':')
}

export function familyOf(ip: Ip): Family {
  return isIpv4(ip) ? 4 : 6
}

/** Network byte order, 4 or 16 bytes. */
export function toBytes(ip: Ip): Uint8Array {
  // An ADD makes some thirty: no library parses again what is canonical.
  return Uint8Array.from(isIpv4(ip) ? ip.split('.').map(Number) : ipaddr.parse(ip).toByteArray())
}

export function fromBytes(bytes: Uint8Array): Ip {
  if (bytes.length === 4) return bytes.join('.') as Ipv4
  return new ipaddr.IPv6([...bytes]).toRFC5952String() as Ipv6
}

export function toBigInt(ip: Ip): bigint {
  return toBytes(ip).reduce((n, b) => (n << 8n) | BigInt(b), 0n)
}

export function fromBigInt(n: bigint, family: Family): Ip {
  const size = family === 4 ? 4 : 16
  return fromBytes(Uint8Array.from({ length: size }, (_, i) => Number((n >> BigInt(8 * (size - 1 - i))) & 255n)))
}

/** An address or a name with a port, as URLs and people write it: IPv6 addresses stand in brackets. */
export function withPort(host: string, port: number | string): string {
  return `${host.includes(':') ? `[${host}]` : host}:${port}`
}

/** What `withPort` writes of an address. */
export function tryParseIpPort(text: string): { readonly ip: Ip; readonly port: number } | undefined {
  const [, v6, v4, digits] = /^(?:\[([0-9a-fA-F:.]+)\]|([0-9.]+)):(\d{1,5})$/.exec(text) ?? []
  const [ip, port] = [tryParseIp(v6 ?? v4 ?? ''), Number(digits)]
  return ip !== undefined && port > 0 && port < 65_536 ? { ip, port } : undefined
}

/** Orders by family, then numerically: for stable output. */
export function compareIp(a: Ip, b: Ip): number {
  if (familyOf(a) !== familyOf(b)) return familyOf(a) - familyOf(b)
  const [x, y] = [toBigInt(a), toBigInt(b)]
  return x < y ? -1 : x > y ? 1 : 0
}
