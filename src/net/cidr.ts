// SPDX-License-Identifier: Apache-2.0
import type { Brand } from '#lib/brand.ts'
import { AppError } from '#lib/errors.ts'
import { type Family, familyOf, fromBigInt, type Ip, parseIp, toBigInt, tryParseLegacyIp } from '#net/ip.ts'

/** `address/length` with all host bits zero, canonical. */
export type Cidr = Brand<string, 'Cidr'>

/** Parses a prefix; host bits that are set are cleared (10.0.0.7/24 → 10.0.0.0/24). Throws `bad-cidr`. */
export function parseCidr(text: string): Cidr {
  const [address = '', length = '', ...rest] = text.split('/')
  const bits = Number(length)
  if (rest.length > 0 || !/^\d{1,3}$/.test(length)) throw new AppError('bad-cidr', `${JSON.stringify(text)} is not a CIDR (address/length)`)
  const ip = parseIp(address)
  if (bits > width(familyOf(ip))) throw new AppError('bad-cidr', `${text}: prefix length over ${width(familyOf(ip))}`)
  return make(ip, bits)
}

/** Of an address as in `tryParseLegacyIp`; undefined when it is no prefix. */
export function tryParseLegacyCidr(text: string): Cidr | undefined {
  const [address = '', length = '', ...rest] = text.split('/')
  const ip = tryParseLegacyIp(address)
  if (ip === undefined || rest.length > 0 || !/^\d{1,3}$/.test(length)) return undefined
  const bits = Number(length) - (address.includes(':') ? 128 - width(familyOf(ip)) : 0)
  return bits < 0 || bits > width(familyOf(ip)) ? undefined : make(ip, bits)
}

/** The /32 or /128 of one address. */
export function hostCidr(ip: Ip): Cidr {
  return `${ip}/${width(familyOf(ip))}` as Cidr
}

export function familyOfCidr(c: Cidr): Family {
  return c.includes(':') ? 6 : 4
}

export function prefixLength(c: Cidr): number {
  return Number(c.slice(c.indexOf('/') + 1))
}

export function baseOf(c: Cidr): Ip {
  return c.slice(0, c.indexOf('/')) as Ip
}

export function contains(c: Cidr, ip: Ip): boolean {
  if (familyOfCidr(c) !== familyOf(ip)) return false
  const shift = BigInt(width(familyOf(ip)) - prefixLength(c))
  return toBigInt(baseOf(c)) >> shift === toBigInt(ip) >> shift
}

/** Number of addresses in the prefix. */
export function sizeOf(c: Cidr): bigint {
  return 1n << BigInt(width(familyOfCidr(c)) - prefixLength(c))
}

/** The address at `offset` from the base; a negative offset counts from the end (-1 = last). */
export function addressAt(c: Cidr, offset: bigint): Ip {
  const from = offset < 0n ? sizeOf(c) + offset : offset
  if (from < 0n || from >= sizeOf(c)) throw new AppError('bad-cidr', `${c} has no address at offset ${offset}`)
  return fromBigInt(toBigInt(baseOf(c)) + from, familyOfCidr(c))
}

/** A vSwitch's gateway: the third-last address of its CIDR, x.x.x.253 in a /24; same for IPv6. */
export function gatewayOf(vSwitchCidr: Cidr): Ip {
  return addressAt(vSwitchCidr, -3n)
}

function width(family: Family): number {
  return family === 4 ? 32 : 128
}

function make(ip: Ip, bits: number): Cidr {
  const family = familyOf(ip)
  const shift = BigInt(width(family) - bits)
  return `${fromBigInt((toBigInt(ip) >> shift) << shift, family)}/${bits}` as Cidr
}
