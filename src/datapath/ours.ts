// SPDX-License-Identifier: Apache-2.0
import { mainTable } from '#kernel/op.ts'
import type { RuleState } from '#kernel/state.ts'
import { baseOf, type Cidr, familyOfCidr, hostCidr, prefixLength } from '#net/cidr.ts'
import { type Ip, type Ipv4, type Ipv6, parseIpv4, parseIpv6 } from '#net/ip.ts'

/** Priority of `to <pod> lookup main`, before everything that could send the packet elsewhere (Terway's wire contract). */
export const toPodPriority = 512
/** Priority of `from <pod> lookup <ENI's table>`. */
export const fromPodPriority = 2048
const eniTableBase = 1000

/** What a pod takes for its gateway: an address nobody owns, resolved by a permanent neighbour to the host end of the veth. */
export const linkIp4: Ipv4 = parseIpv4('169.254.1.1')
export const linkIp6: Ipv6 = parseIpv6('fe80::1')
export const default4 = '0.0.0.0/0' as Cidr
export const default6 = '::/0' as Cidr

/** The routing table of an ENI. */
export function tableOf(eniIndex: number): number {
  return eniTableBase + eniIndex
}

/** The number of the device whose table this is; undefined for a table that is not an ENI's. */
export function eniIndexOf(table: number): number | undefined {
  return table > eniTableBase ? table - eniTableBase : undefined
}

/** The single address of a /32 or /128; undefined for any wider prefix. */
export function hostOf(c: Cidr | undefined): Ip | undefined {
  return c !== undefined && prefixLength(c) === (familyOfCidr(c) === 4 ? 32 : 128) ? baseOf(c) : undefined
}

/** A rule in the shape that the datapath makes. Rules of the same priorities in any other shape belong to somebody else. */
export interface OurRule {
  readonly priority: 512 | 2048
  readonly ip: Ip
  readonly table: number
}

/** The rule as one of ours; undefined when it is somebody else's. */
export function ourRule(rule: RuleState): OurRule | undefined {
  const [from, to] = [hostOf(rule.from), hostOf(rule.to)]
  if (rule.priority === toPodPriority && to !== undefined && rule.from === undefined && rule.table === mainTable)
    return { priority: toPodPriority, ip: to, table: rule.table }
  if (rule.priority === fromPodPriority && from !== undefined && rule.to === undefined && eniIndexOf(rule.table) !== undefined)
    return { priority: fromPodPriority, ip: from, table: rule.table }
  return undefined
}

/** The operands of one of our rules, for an operation. */
export function ruleOperands(rule: OurRule): {
  readonly priority: number
  readonly table: number
  readonly from?: Cidr
  readonly to?: Cidr
} {
  const { priority, table, ip } = rule
  return priority === toPodPriority ? { priority, table, to: hostCidr(ip) } : { priority, table, from: hostCidr(ip) }
}
