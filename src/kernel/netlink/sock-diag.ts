// SPDX-License-Identifier: Apache-2.0

import type { Netns } from '#kernel/names.ts'
import { Body } from '#kernel/netlink/attr.ts'
import { type Message, NetlinkConn, NetlinkError, sockDiagProtocol } from '#kernel/netlink/conn.ts'
import { addressFamily } from '#kernel/netlink/header.ts'
import type { ConnectedSocket } from '#kernel/port.ts'
import { fromBytes } from '#net/ip.ts'

/** linux/sock_diag.h */
const [byFamily, destroy] = [20, 21]
const udp = 17
/** TCP_ESTABLISHED, as a mask: what UDP calls connected. */
const connected = 1 << 1
/** struct inet_diag_sockid: ports (4 bytes), addresses (2 times 16), device (4), cookie (8). */
const idSize = 48
const [remotePortAt, remoteAt, cookieAt] = [2, 20, 40]
/** Before the id in struct inet_diag_msg: family, state, timer, retransmissions. */
const idAt = 4

/** Every socket of UDP in the thread's namespace, which is called `ns`, that is connected. Throws NetlinkError, or SystemCallError without NETLINK_SOCK_DIAG. */
export function listConnected(ns: Netns): ConnectedSocket[] {
  return withConn(conn =>
    [addressFamily.inet, addressFamily.inet6].flatMap(family =>
      conn.dump(byFamily, request(family, Buffer.alloc(idSize)), m => parseConnected(ns, family, m)),
    ),
  )
}

/**
 * Of the thread's namespace: ends them as if their owners had been told so: the next call of each fails with ECONNABORTED. How many there still were. With none it tells whether the
 * kernel can. Throws NetlinkError.
 */
export function destroyConnected(sockets: readonly ConnectedSocket[]): number {
  return withConn(conn => {
    if (sockets.length === 0) tryDestroy(conn, addressFamily.inet, Buffer.alloc(idSize))
    return sockets.filter(s => tryDestroy(conn, s.v6 ? addressFamily.inet6 : addressFamily.inet, Buffer.from(s.id, 'hex'))).length
  })
}

/** False when there is no such socket any more. */
function tryDestroy(conn: NetlinkConn, family: number, id: Buffer): boolean {
  try {
    conn.request(destroy, 0, request(family, id))
    return true
  } catch (e) {
    if (!(e instanceof NetlinkError)) throw e
    if (e.errno === 'ENOENT') return false
    if (e.errno === 'EOPNOTSUPP') throw new NetlinkError(e.errno, 'the kernel is built without CONFIG_INET_DIAG_DESTROY')
    throw e
  }
}

/** struct inet_diag_req_v2 */
function request(family: number, id: Buffer): Body {
  const body = new Body().u8(family, udp, 0, 0).u32(connected)
  return body.u8(...id)
}

export function parseConnected(ns: Netns, family: number, { data, start }: Message): ConnectedSocket | undefined {
  const id = data.subarray(start + idAt, start + idAt + idSize)
  const remotePort = id.readUInt16BE(remotePortAt)
  if (remotePort === 0) return undefined
  const v6 = family === addressFamily.inet6
  const remote = fromBytes(id.subarray(remoteAt, remoteAt + (v6 ? 16 : 4)))
  return { ns, v6, cookie: id.readBigUInt64LE(cookieAt), remote, remotePort, id: id.toString('hex') }
}

function withConn<T>(fn: (conn: NetlinkConn) => T): T {
  const conn = new NetlinkConn(sockDiagProtocol)
  try {
    return fn(conn)
  } finally {
    conn.close()
  }
}
