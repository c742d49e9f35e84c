// SPDX-License-Identifier: Apache-2.0
import ipaddr from 'ipaddr.js'

export type Family = 4 | 6
/** A block of addresses as numbers: `base` is the network address, `bits` the prefix length. */
export interface Block {
  readonly family: Family
  readonly base: bigint
  readonly bits: number
}

const width = (family: Family): number => (family === 4 ? 32 : 128)

/** The address as a number; undefined when the text is no IPv4 dotted quad and no IPv6 address. */
export function parseAddress(text: string): { readonly family: Family; readonly value: bigint } | undefined {
  const v4 = ipaddr.IPv4.isValidFourPartDecimal(text)
  if (!v4 && (!text.includes(':') || text.includes('%') || !ipaddr.IPv6.isValid(text))) return undefined
  const bytes = v4 ? ipaddr.IPv4.parse(text).toByteArray() : ipaddr.IPv6.parse(text).toByteArray()
  return { family: v4 ? 4 : 6, value: bytes.reduce((n, b) => (n << 8n) | BigInt(b), 0n) }
}

/** Canonical text: dotted quad, or RFC 5952 for IPv6. */
export function formatAddress(value: bigint, family: Family): string {
  const size = width(family) / 8
  const bytes = Array.from({ length: size }, (_, i) => Number((value >> BigInt(8 * (size - 1 - i))) & 255n))
  const address = ipaddr.fromByteArray(bytes)
  return address.kind() === 'ipv4' ? address.toString() : (address as ipaddr.IPv6).toRFC5952String()
}

/** Parses `10.0.0.0/24`; undefined when malformed or when host bits are set. */
export function parseBlock(text: string): Block | undefined {
  const [ip = '', length = '', ...rest] = text.split('/')
  const address = parseAddress(ip)
  if (address === undefined || rest.length > 0 || !/^\d{1,3}$/.test(length)) return undefined
  const bits = Number(length)
  if (bits > width(address.family)) return undefined
  const block = { family: address.family, base: address.value, bits }
  return address.value % blockSize(block) === 0n ? block : undefined
}

export function blockSize(block: Block): bigint {
  return 1n << BigInt(width(block.family) - block.bits)
}

export function lastAddress(block: Block): bigint {
  return block.base + blockSize(block) - 1n
}

export function contains(outer: Block, inner: Block): boolean {
  return outer.family === inner.family && inner.base >= outer.base && lastAddress(inner) <= lastAddress(outer)
}

/**
 * The router's address in a vSwitch: the third-last one, in both families. The VPC documentation says that the first and
 * the last three addresses of a vSwitch are reserved; Terway derives the gateway as the last address minus two.
 */
export function gatewayOf(cidr: string): string {
  const block = parseBlock(cidr)
  if (block === undefined) throw new Error(`${JSON.stringify(cidr)} is not a CIDR block`)
  return formatAddress(lastAddress(block) - 2n, block.family)
}
