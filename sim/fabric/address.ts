// SPDX-License-Identifier: Apache-2.0
import ipaddr from 'ipaddr.js'

/** 4 or 6, by the text of an address or CIDR. */
export function familyOf(text: string): 4 | 6 {
  return text.includes(':') ? 6 : 4
}

/** Gateway of a vSwitch: the third-last address of its CIDR (VPC documentation: x.x.x.253 in a /24). */
export function gatewayOf(cidr: string): string {
  const [base, bits] = ipaddr.parseCIDR(cidr)
  const bytes = base.toByteArray()
  const last = bytes.map((byte, i) => byte | (0xff >> Math.min(8, Math.max(0, bits - 8 * i))))
  const gateway = ipaddr.fromByteArray([...last.slice(0, -1), (last.at(-1) ?? 0) - 2])
  return gateway instanceof ipaddr.IPv6 ? gateway.toRFC5952String() : gateway.toString()
}

/** `10.0.0.5` → `10.0.0.5/32`, `fd00::5` → `fd00::5/128`; a CIDR stays. */
export function asCidr(text: string): string {
  if (text.includes('/')) return text
  return `${text}/${familyOf(text) === 4 ? 32 : 128}`
}

/** Prefix length of a CIDR. */
export function lengthOf(cidr: string): number {
  return Number(cidr.slice(cidr.indexOf('/') + 1))
}
