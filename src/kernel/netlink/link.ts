// SPDX-License-Identifier: Apache-2.0
import type { IfName } from '#kernel/names.ts'
import { Attrs, Body } from '#kernel/netlink/attr.ts'
import { type Message, type NetlinkConn, NetlinkError } from '#kernel/netlink/conn.ts'
import { addressFamily, flag, rtm } from '#kernel/netlink/header.ts'
import type { LinkState } from '#kernel/state.ts'
import { type Mac, macFromBytes, macToBytes } from '#net/mac.ts'

const ifla = {
  address: 1,
  ifName: 3,
  mtu: 4,
  link: 5,
  qdisc: 6,
  linkInfo: 18,
  ifAlias: 20,
  group: 27,
  netNsFd: 28,
  extMask: 29,
  linkNetnsid: 37,
} as const
const info = { kind: 1, data: 2 } as const
const vethPeer = 1
const iffUp = 1
/** RTEXT_FILTER_SKIP_STATS: counters are most of a link message, and not wanted. */
const skipStats = 8

/** struct ifinfomsg */
function ifinfo(body: Body, index: number, flags = 0, change = 0): Body {
  return body.u8(addressFamily.unspec, 0).u16(0).u32(index, flags, change)
}

/** One end of a veth to be made. `netnsFd` = the namespace in which the peer is born. */
interface VethEnd {
  readonly dev: IfName
  readonly mac: Mac
  readonly mtu: number
}

/** `ip link add $dev … type veth peer name $peer … netns …`. Addresses are set at birth: udev replaces random ones later. */
export function addVeth(conn: NetlinkConn, host: VethEnd, peer: VethEnd, netnsFd: number): void {
  const end = (body: Body, e: VethEnd) => {
    ifinfo(body, 0).attrString(ifla.ifName, e.dev).attrU32(ifla.mtu, e.mtu).attr(ifla.address, macToBytes(e.mac))
  }
  const body = new Body()
  end(body, host)
  body.nest(ifla.linkInfo, linkInfo =>
    linkInfo.attrString(info.kind, 'veth').nest(info.data, data =>
      data.nest(vethPeer, p => {
        end(p, peer)
        p.attrU32(ifla.netNsFd, netnsFd)
      }),
    ),
  )
  conn.request(rtm.newLink, flag.create | flag.exclusive, body)
}

/** `ip link set $dev up|down mtu … alias …`; only what is given. */
export function setLink(conn: NetlinkConn, index: number, set: { up?: boolean; mtu?: number; alias?: string; group?: number }): void {
  const body = ifinfo(new Body(), index, set.up ? iffUp : 0, set.up === undefined ? 0 : iffUp)
  if (set.mtu !== undefined) body.attrU32(ifla.mtu, set.mtu)
  if (set.alias !== undefined) body.attr(ifla.ifAlias, Buffer.from(set.alias, 'utf8'))
  if (set.group !== undefined) body.attrU32(ifla.group, set.group)
  conn.request(rtm.newLink, 0, body)
}

/** `ip link set $dev netns … name $name`: both in one request. */
export function moveLink(conn: NetlinkConn, index: number, netnsFd: number, name: IfName): void {
  conn.request(rtm.setLink, 0, ifinfo(new Body(), index).attrU32(ifla.netNsFd, netnsFd).attrString(ifla.ifName, name))
}

/** `ip link del $dev`. Blocks for 10–15 ms inside the kernel. */
export function deleteLink(conn: NetlinkConn, index: number): void {
  conn.request(rtm.delLink, 0, ifinfo(new Body(), index))
}

/** `ip link del group $group`: every device of the group at once, for the price of little more than one. */
export function deleteGroup(conn: NetlinkConn, group: number): void {
  conn.request(rtm.delLink, 0, ifinfo(new Body(), 0).attrU32(ifla.group, group))
}

type Which = { readonly name: IfName } | { readonly index: number }

/** `ip link show`. Undefined when there is no such device. */
export function getLink(conn: NetlinkConn, which: Which): LinkState | undefined {
  return askLink(conn, which, parseLink)
}

/** What `parse` takes from the description of a device; undefined when there is no such device. */
export function askLink<T>(conn: NetlinkConn, which: Which, parse: (m: Message) => T): T | undefined {
  const body = ifinfo(new Body(), 'index' in which ? which.index : 0).attrU32(ifla.extMask, skipStats)
  if ('name' in which) body.attrString(ifla.ifName, which.name)
  try {
    return conn.get(rtm.getLink, body, parse)
  } catch (e) {
    if (e instanceof NetlinkError && e.errno === 'ENODEV') return undefined
    throw e
  }
}

/** What `parse` takes from the description of every device. */
export function askLinks<T>(conn: NetlinkConn, parse: (m: Message) => T): T[] {
  return conn.dump(rtm.getLink, ifinfo(new Body(), 0).attrU32(ifla.extMask, skipStats), parse)
}

export function parseLink({ data, start, end }: Message): LinkState {
  const link: { -readonly [K in keyof LinkState]: LinkState[K] } = {
    name: '' as IfName,
    index: data.readInt32LE(start + 4),
    mtu: 0,
    up: (data.readUInt32LE(start + 8) & iffUp) !== 0,
  }
  for (const attrs = new Attrs(data, start + 16, end); attrs.next(); ) {
    if (attrs.type === ifla.ifName) link.name = attrs.string() as IfName
    else if (attrs.type === ifla.mtu) link.mtu = attrs.u32()
    else if (attrs.type === ifla.address && attrs.bytes().length === 6) link.mac = macFromBytes(attrs.bytes())
    else if (attrs.type === ifla.link) link.peerIndex = attrs.u32()
    else if (attrs.type === ifla.linkNetnsid) link.peerNsid = attrs.i32()
    else if (attrs.type === ifla.qdisc) link.qdisc = attrs.string()
    else if (attrs.type === ifla.ifAlias) link.alias = attrs.string()
    else if (attrs.type === ifla.linkInfo) {
      for (const inner = attrs.nested(); inner.next(); ) if (inner.type === info.kind) link.kind = inner.string()
    }
  }
  return link
}
