// SPDX-License-Identifier: Apache-2.0
import type { Nic, NicIp } from '#kube/crd/node.ts'
import { type Cidr, parseCidr } from '#net/cidr.ts'
import { compareIp, type Ip, tryParseIp } from '#net/ip.ts'
import { type Mac, parseMac } from '#net/mac.ts'

/** An ENI of Node.status with its texts parsed. */
export interface ParsedNic {
  /** Sorted; keys that are no address are left out. */
  readonly addresses: readonly { readonly ip: Ip; readonly record: NicIp }[]
  readonly mac?: Mac
  readonly subnet4?: Cidr
  readonly subnet6?: Cidr
  /** Why the ENI cannot be used; empty when MAC and CIDRs are readable. */
  readonly problem: string
}

/**
 * Objects of a watch never change, so each is parsed once: with 240 addresses the parsing would otherwise be most of an ADD
 * (3 ms), because every ADD, every report and every answer looks at all of them.
 */
const parsed = new WeakMap<Nic, ParsedNic>()

/** Never throws. */
export function parseNic(nic: Nic): ParsedNic {
  const known = parsed.get(nic)
  if (known !== undefined) return known
  const records = [...Object.entries(nic.ipv4 ?? {}), ...Object.entries(nic.ipv6 ?? {})]
  const addresses = records.flatMap(([text, record]) => {
    const ip = tryParseIp(text)
    return ip === undefined ? [] : [{ ip, record }]
  })
  const made = { addresses: addresses.sort((a, b) => compareIp(a.ip, b.ip)), ...device(nic) }
  parsed.set(nic, made)
  return made
}

function device(nic: Nic): Omit<ParsedNic, 'addresses'> {
  try {
    if (nic.macAddress === undefined) return { problem: 'has no macAddress in Node.status' }
    const subnet4 = nic.ipv4CIDR === undefined || nic.ipv4CIDR === '' ? {} : { subnet4: parseCidr(nic.ipv4CIDR) }
    const subnet6 = nic.ipv6CIDR === undefined || nic.ipv6CIDR === '' ? {} : { subnet6: parseCidr(nic.ipv6CIDR) }
    return { mac: parseMac(nic.macAddress), ...subnet4, ...subnet6, problem: '' }
  } catch (e) {
    return { problem: e instanceof Error ? e.message : String(e) }
  }
}
