// SPDX-License-Identifier: Apache-2.0
import { Attrs, Body } from '#kernel/netlink/attr.ts'
import type { Message, NetlinkConn } from '#kernel/netlink/conn.ts'
import { addressFamily, flag, rtm } from '#kernel/netlink/header.ts'
import type { PrefixFilter } from '#kernel/netlink/prefix-filter.ts'
import type { RuleState } from '#kernel/state.ts'
import { baseOf, type Cidr, familyOfCidr, prefixLength } from '#net/cidr.ts'
import { type Family, fromBytes, toBytes } from '#net/ip.ts'

const fra = { dst: 1, src: 2, priority: 6, suppressIfGroup: 13, suppressPrefixLength: 14, table: 15, pad: 18, protocol: 21 } as const
const actionToTable = 1
const flagInvert = 2
const notSuppressed = 0xffffffff

interface Rule {
  readonly priority: number
  readonly from?: Cidr
  readonly to?: Cidr
  readonly table: number
}

function fibRule(family: number, dstLength: number, srcLength: number, table: number, action: number): Body {
  return new Body().u8(family, dstLength, srcLength, 0, table < 256 ? table : 0, 0, 0, action).u32(0)
}

function rule(r: Rule): Body {
  const family = familyOfCidr(r.from ?? r.to ?? ('0.0.0.0/0' as Cidr)) === 4 ? addressFamily.inet : addressFamily.inet6
  const length = (c: Cidr | undefined) => (c === undefined ? 0 : prefixLength(c))
  const body = fibRule(family, length(r.to), length(r.from), r.table, actionToTable)
  if (r.to !== undefined) body.attr(fra.dst, toBytes(baseOf(r.to)))
  if (r.from !== undefined) body.attr(fra.src, toBytes(baseOf(r.from)))
  return body.attrU32(fra.priority, r.priority).attrU32(fra.table, r.table)
}

/** `ip rule add priority $p [from $a] [to $b] lookup $table`. Throws EEXIST when it is there. */
export function addRule(conn: NetlinkConn, r: Rule): void {
  conn.request(rtm.newRule, flag.create | flag.exclusive, rule(r))
}

/** `ip rule del …`. Throws ENOENT when it is not there. */
export function deleteRule(conn: NetlinkConn, r: Rule): void {
  conn.request(rtm.delRule, 0, rule(r))
}

/** `ip rule show` of one family, plain rules of these priorities only; with `wanted` only rules from or to one of these prefixes. */
export function listRules(conn: NetlinkConn, family: Family, priorities: readonly number[], wanted?: PrefixFilter): RuleState[] {
  const body = fibRule(family === 4 ? addressFamily.inet : addressFamily.inet6, 0, 0, 0, 0)
  return conn.dump(rtm.getRule, body, m => parseRule(m, priorities, wanted))
}

/**
 * Undefined for a rule of another priority or of unwanted prefixes, or one that is not plain: inverted, another action than a lookup, or any
 * selector besides source and destination. Unknown attributes count as selectors, so that a foreign rule is never taken for ours.
 */
export function parseRule({ data, start, end }: Message, priorities?: readonly number[], wanted?: PrefixFilter): RuleState | undefined {
  const plain =
    data.readUInt8(start + 3) === 0 && data.readUInt8(start + 7) === actionToTable && (data.readUInt32LE(start + 8) & flagInvert) === 0
  if (!plain) return undefined
  const r: { -readonly [K in keyof RuleState]: RuleState[K] } = {
    family: data.readUInt8(start) === addressFamily.inet ? 4 : 6,
    priority: 0,
    table: data.readUInt8(start + 4),
  }
  let [src, dst]: (Buffer | undefined)[] = []
  for (const attrs = new Attrs(data, start + 12, end); attrs.next(); ) {
    if (attrs.type === fra.priority) r.priority = attrs.u32()
    else if (attrs.type === fra.table) r.table = attrs.u32()
    else if (attrs.type === fra.src) src = attrs.bytes()
    else if (attrs.type === fra.dst) dst = attrs.bytes()
    else if (attrs.type === fra.suppressPrefixLength || attrs.type === fra.suppressIfGroup) {
      if (attrs.u32() !== notSuppressed) return undefined
    } else if (attrs.type !== fra.protocol && attrs.type !== fra.pad) return undefined
  }
  if (priorities?.includes(r.priority) === false) return undefined
  const [dstLength, srcLength] = [data.readUInt8(start + 1), data.readUInt8(start + 2)]
  if (wanted !== undefined && !wanted.has(src, srcLength) && !wanted.has(dst, dstLength)) return undefined
  if (src !== undefined) r.from = `${fromBytes(src)}/${srcLength}` as Cidr
  if (dst !== undefined) r.to = `${fromBytes(dst)}/${dstLength}` as Cidr
  return r
}
