// SPDX-License-Identifier: Apache-2.0
import { Attrs, Body } from '#kernel/netlink/attr.ts'
import type { Message, NetlinkConn } from '#kernel/netlink/conn.ts'
import { addressFamily, flag, rtm } from '#kernel/netlink/header.ts'
import type { AddrState } from '#kernel/state.ts'
import { type Family, familyOf, fromBytes, type Ip, toBytes } from '#net/ip.ts'

const ifa = { address: 1, local: 2, flags: 8 } as const
const flagSecondary = 0x1
const flagNoDad = 0x2

/** struct ifaddrmsg */
function ifaddr(family: number, prefix: number, index: number): Body {
  return new Body().u8(family, prefix, 0, 0).u32(index)
}

function address(index: number, ip: Ip, prefix: number): Body {
  const family = familyOf(ip) === 4 ? addressFamily.inet : addressFamily.inet6
  return ifaddr(family, prefix, index).attr(ifa.local, toBytes(ip)).attr(ifa.address, toBytes(ip))
}

/** `ip addr add $ip/$prefix dev $index [nodad]`. Throws EEXIST when it is there. */
export function addAddr(conn: NetlinkConn, index: number, ip: Ip, prefix: number, nodad: boolean): void {
  const body = address(index, ip, prefix)
  if (nodad) body.attrU32(ifa.flags, flagNoDad)
  conn.request(rtm.newAddr, flag.create | flag.exclusive, body)
}

/** `ip addr del $ip/$prefix dev $index`. Throws EADDRNOTAVAIL when it is not there. */
export function deleteAddr(conn: NetlinkConn, index: number, ip: Ip, prefix: number): void {
  conn.request(rtm.delAddr, 0, address(index, ip, prefix))
}

/** `ip addr show [dev $index]` of one family; index 0 = every device. */
export function listAddrs(conn: NetlinkConn, family: Family, index: number): AddrState[] {
  return conn.dump(rtm.getAddr, ifaddr(family === 4 ? addressFamily.inet : addressFamily.inet6, 0, index), m => {
    const addr = parseAddr(m)
    return index === 0 || addr?.ifIndex === index ? addr : undefined
  })
}

export function parseAddr({ data, start, end }: Message): AddrState | undefined {
  let flags = data.readUInt8(start + 2)
  let local: Ip | undefined
  let remote: Ip | undefined
  for (const attrs = new Attrs(data, start + 8, end); attrs.next(); ) {
    if (attrs.type === ifa.local) local = fromBytes(attrs.bytes())
    else if (attrs.type === ifa.address) remote = fromBytes(attrs.bytes())
    else if (attrs.type === ifa.flags) flags = attrs.u32()
  }
  const ip = local ?? remote
  if (ip === undefined) return undefined
  return {
    ifIndex: data.readUInt32LE(start + 4),
    address: ip,
    prefix: data.readUInt8(start + 1),
    scope: scopeName(data.readUInt8(start + 3)),
    secondary: (flags & flagSecondary) !== 0,
  }
}

/** RT_SCOPE_* of linux/rtnetlink.h. */
export function scopeName(scope: number): AddrState['scope'] {
  return scope === 0 ? 'global' : scope === 253 ? 'link' : scope === 254 ? 'host' : 'other'
}
