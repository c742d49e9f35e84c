// SPDX-License-Identifier: Apache-2.0
import { Attrs, Body } from '#kernel/netlink/attr.ts'
import type { NetlinkConn } from '#kernel/netlink/conn.ts'
import { rtm } from '#kernel/netlink/header.ts'

const netnsa = { nsid: 1, fd: 3 } as const

/** `ip netns list-id`: the number the connection's namespace has given to another; undefined when it never met it. */
export function getNsid(conn: NetlinkConn, netnsFd: number): number | undefined {
  const body = new Body().u8(0, 0, 0, 0).attrU32(netnsa.fd, netnsFd)
  return conn.get(rtm.getNsid, body, m => {
    for (const attrs = new Attrs(m.data, m.start + 4, m.end); attrs.next(); ) {
      if (attrs.type === netnsa.nsid && attrs.i32() >= 0) return attrs.i32()
    }
    return undefined
  })
}
