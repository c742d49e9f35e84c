// SPDX-License-Identifier: Apache-2.0
import { Attrs, Body } from '#kernel/netlink/attr.ts'
import type { Message, NetlinkConn } from '#kernel/netlink/conn.ts'
import { flag, rtm } from '#kernel/netlink/header.ts'
import type { TbfState } from '#kernel/state.ts'

const tca = { kind: 1, options: 2 } as const
const tbf = { parms: 1, rate64: 4, burst: 6 } as const
const root = 0xffffffff
/** Handle 1:0. */
const handle = 0x10000
const linkLayerEthernet = 1
const maxU32 = 0xffffffff

/** struct tcmsg */
function tcmsg(index: number, qdiscHandle: number): Body {
  return new Body().u8(0, 0).u16(0).u32(index, qdiscHandle, root, 0)
}

/** `tc qdisc replace dev $index root handle 1: tbf rate $rate burst $burst limit $limit`; bytes per second, bytes, bytes. */
export function replaceTbf(conn: NetlinkConn, index: number, rate: number, burst: number, limit: number): void {
  const short = Math.min(rate, maxU32)
  const body = tcmsg(index, handle)
    .attrString(tca.kind, 'tbf')
    .nest(tca.options, options => {
      // struct tc_tbf_qopt: two struct tc_ratespec, limit, buffer, mtu. The burst attribute stands for `buffer`.
      const parms = new Body().u8(0, linkLayerEthernet).u16(0).u16(0).u16(0).u32(short).u32(0, 0, 0).u32(limit, 0, 0)
      options.attr(tbf.parms, parms.bytes()).attrU32(tbf.burst, burst)
      if (rate > maxU32) options.attrU64(tbf.rate64, BigInt(rate))
    })
  conn.request(rtm.newQdisc, flag.create | flag.replace, body)
}

/** The root qdisc when it is a token bucket; undefined for any other kind. Ask only devices whose link says `qdisc tbf`. */
export function getTbf(conn: NetlinkConn, index: number): TbfState | undefined {
  return conn.get(rtm.getQdisc, tcmsg(index, 0), parseTbf, flag.echo)
}

export function parseTbf({ data, start, end }: Message): TbfState | undefined {
  let isTbf = false
  let rate = 0
  let limit = 0
  for (const attrs = new Attrs(data, start + 20, end); attrs.next(); ) {
    if (attrs.type === tca.kind) isTbf = attrs.string() === 'tbf'
    else if (attrs.type === tca.options && isTbf) {
      for (const inner = attrs.nested(); inner.next(); ) {
        if (inner.type === tbf.parms) {
          const parms = inner.bytes()
          rate = Math.max(rate, parms.readUInt32LE(8))
          limit = parms.readUInt32LE(24)
        } else if (inner.type === tbf.rate64) rate = Number(inner.u64())
      }
    }
  }
  return isTbf ? { ifIndex: data.readInt32LE(start + 4), rate, limit } : undefined
}
