// SPDX-License-Identifier: Apache-2.0
import { Attrs, Body } from '#kernel/netlink/attr.ts'
import { type Message, type NetlinkConn, NetlinkError } from '#kernel/netlink/conn.ts'
import { addressFamily, flag, rtm } from '#kernel/netlink/header.ts'
import type { PrefixFilter } from '#kernel/netlink/prefix-filter.ts'
import type { RouteState } from '#kernel/state.ts'
import { baseOf, type Cidr, familyOfCidr, prefixLength } from '#net/cidr.ts'
import { type Family, fromBytes, type Ip, toBytes } from '#net/ip.ts'

const rta = { dst: 1, oif: 4, gateway: 5, priority: 6, prefSrc: 7, multipath: 9, table: 15 } as const
const protocolBoot = 3
const scope = { global: 0, link: 253, nowhere: 255 } as const
const unicast = 1
const flagOnlink = 4
const flagCloned = 0x200

interface Route {
  readonly table: number
  readonly dst: Cidr
  readonly ifIndex: number
  readonly via?: Ip
  readonly scope: 'global' | 'link'
  readonly onlink?: boolean
}

/** struct rtmsg; tables over 255 are carried by the attribute alone. */
function rtmsg(family: Family, dstLength: number, table: number, protocol: number, scopeOf: number, type: number, flags: number): Body {
  const short = table < 256 ? table : 0
  return new Body().u8(family === 4 ? addressFamily.inet : addressFamily.inet6, dstLength, 0, 0, short, protocol, scopeOf, type).u32(flags)
}

/** `ip route replace $dst [via $gw] dev $index table $table [scope link] [onlink]`, with protocol boot as iproute2 does. */
export function replaceRoute(conn: NetlinkConn, r: Route): void {
  conn.request(rtm.newRoute, flag.create | flag.replace, route(r))
}

/** `ip route append …`: behind those of the same prefix. Throws EEXIST when it is there. */
export function appendRoute(conn: NetlinkConn, r: Route): void {
  conn.request(rtm.newRoute, flag.create | flag.append, route(r))
}

function route(r: Route): Body {
  const flags = r.onlink ? flagOnlink : 0
  return target(rtmsg(familyOfCidr(r.dst), prefixLength(r.dst), r.table, protocolBoot, scope[r.scope], unicast, flags), r)
}

/** `ip route del …`. Throws ESRCH when it is not there. */
export function deleteRoute(conn: NetlinkConn, r: Route): void {
  conn.request(rtm.delRoute, 0, target(rtmsg(familyOfCidr(r.dst), prefixLength(r.dst), r.table, 0, scope.nowhere, unicast, 0), r))
}

function target(body: Body, r: Route): Body {
  if (prefixLength(r.dst) > 0) body.attr(rta.dst, toBytes(baseOf(r.dst)))
  if (r.via !== undefined) body.attr(rta.gateway, toBytes(r.via))
  return body.attrU32(rta.oif, r.ifIndex).attrU32(rta.table, r.table)
}

/** `ip route show table $table` of one family; with `wanted` only routes for exactly these prefixes. A table without routes may not exist at all. */
export function listRoutes(conn: NetlinkConn, family: Family, table: number, wanted?: PrefixFilter): RouteState[] {
  const body = rtmsg(family, 0, table, 0, 0, 0, 0).attrU32(rta.table, table)
  try {
    return conn.dump(rtm.getRoute, body, m => {
      const route = parseRoute(m, wanted)
      return route?.table === table ? route : undefined
    })
  } catch (e) {
    if (e instanceof NetlinkError && e.errno === 'ENOENT') return []
    throw e
  }
}

/** Undefined for what is not a plain unicast route with one next hop, or not wanted. */
export function parseRoute({ data, start, end }: Message, wanted?: PrefixFilter): RouteState | undefined {
  const flags = data.readUInt32LE(start + 8)
  if (data.readUInt8(start + 7) !== unicast || (flags & flagCloned) !== 0) return undefined
  const family = data.readUInt8(start) === addressFamily.inet ? 4 : 6
  const kernelScope = data.readUInt8(start + 6)
  const dstLength = data.readUInt8(start + 1)
  let dst: Buffer | undefined
  const route: { -readonly [K in keyof RouteState]: RouteState[K] } = {
    table: data.readUInt8(start + 4),
    dst: '' as Cidr,
    ifIndex: 0,
    scope: kernelScope === scope.global ? 'global' : kernelScope === scope.link ? 'link' : 'other',
    onlink: (flags & flagOnlink) !== 0,
    priority: 0,
  }
  for (const attrs = new Attrs(data, start + 12, end); attrs.next(); ) {
    if (attrs.type === rta.dst) dst = attrs.bytes()
    else if (attrs.type === rta.oif) route.ifIndex = attrs.u32()
    else if (attrs.type === rta.gateway) route.via = fromBytes(attrs.bytes())
    else if (attrs.type === rta.priority) route.priority = attrs.u32()
    else if (attrs.type === rta.prefSrc) route.prefSrc = fromBytes(attrs.bytes())
    else if (attrs.type === rta.table) route.table = attrs.u32()
    else if (attrs.type === rta.multipath) return undefined
  }
  if (wanted?.has(dst, dstLength) === false) return undefined
  route.dst = `${dst === undefined ? zero(family) : fromBytes(dst)}/${dstLength}` as Cidr
  return route
}

function zero(family: Family): string {
  return family === 4 ? '0.0.0.0' : '::'
}
