// SPDX-License-Identifier: Apache-2.0
import { Attrs, Body } from '#kernel/netlink/attr.ts'
import { type Message, type NetlinkConn, NetlinkError } from '#kernel/netlink/conn.ts'
import { addressFamily, flag, rtm } from '#kernel/netlink/header.ts'
import type { NeighState } from '#kernel/state.ts'
import { type Family, familyOf, fromBytes, type Ip, toBytes } from '#net/ip.ts'
import { type Mac, macFromBytes, macToBytes } from '#net/mac.ts'

const nda = { dst: 1, lladdr: 2 } as const
const statePermanent = 0x80

/** struct ndmsg */
function ndmsg(family: Family, index: number, state: number): Body {
  return new Body()
    .u8(family === 4 ? addressFamily.inet : addressFamily.inet6, 0)
    .u16(0)
    .u32(index)
    .u16(state)
    .u8(0, 0)
}

/** `ip neigh replace $ip lladdr $mac dev $index nud permanent`. */
export function replaceNeigh(conn: NetlinkConn, index: number, ip: Ip, mac: Mac): void {
  const body = ndmsg(familyOf(ip), index, statePermanent).attr(nda.dst, toBytes(ip)).attr(nda.lladdr, macToBytes(mac))
  conn.request(rtm.newNeigh, flag.create | flag.replace, body)
}

/** `ip neigh get $ip dev $index`. Undefined when it is not known. A dump would pass by the neighbours of all namespaces. */
export function getNeigh(conn: NetlinkConn, index: number, ip: Ip): NeighState | undefined {
  try {
    return conn.get(rtm.getNeigh, ndmsg(familyOf(ip), index, 0).attr(nda.dst, toBytes(ip)), parseNeigh)
  } catch (e) {
    if (e instanceof NetlinkError && e.errno === 'ENOENT') return undefined
    throw e
  }
}

export function parseNeigh({ data, start, end }: Message): NeighState | undefined {
  let ip: Ip | undefined
  let mac: Mac | undefined
  for (const attrs = new Attrs(data, start + 12, end); attrs.next(); ) {
    if (attrs.type === nda.dst) ip = fromBytes(attrs.bytes())
    else if (attrs.type === nda.lladdr && attrs.bytes().length === 6) mac = macFromBytes(attrs.bytes())
  }
  if (ip === undefined) return undefined
  const permanent = (data.readUInt16LE(start + 8) & statePermanent) !== 0
  return { ifIndex: data.readInt32LE(start + 4), ip, permanent, ...(mac === undefined ? {} : { mac }) }
}
