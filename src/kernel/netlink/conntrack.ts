// SPDX-License-Identifier: Apache-2.0
import { Attrs, Body } from '#kernel/netlink/attr.ts'
import { type Message, NetlinkConn, netfilterProtocol } from '#kernel/netlink/conn.ts'
import type { FlowTuple, TranslatedFlow } from '#kernel/port.ts'
import { fromBytes } from '#net/ip.ts'

/** IPCTNL_MSG_CT_GET of NFNL_SUBSYS_CTNETLINK. */
const getFlows = 0x101
const cta = { original: 1, reply: 2 } as const
const tuple = { ip: 1, protocol: 2 } as const
/** Addresses of both families: 4 or 16 bytes. */
const ip = { source4: 1, destination4: 2, source6: 3, destination6: 4 } as const
/** Of ICMP, whose ports are both the identifier. */
const port = { protocol: 1, source: 2, destination: 3, icmpId: 4, icmpv6Id: 7 } as const
/** What a flow's packets are counted by in our own maps: TCP, UDP, SCTP, ICMP and ICMPv6. */
const followed = [6, 17, 132, 1, 58]
const nothing = Buffer.alloc(0)

/** Every flow of the thread's namespace that the kernel translates. Throws NetlinkError or SystemCallError where it has no conntrack over netlink. */
export function listTranslated(): TranslatedFlow[] {
  const conn = new NetlinkConn(netfilterProtocol)
  try {
    // struct nfgenmsg: every family, version 0.
    return conn.dump(getFlows, new Body().u8(0, 0, 0, 0), parseTranslated)
  } finally {
    conn.close()
  }
}

/** Undefined for a flow that is not translated, which nearly all are: those are told apart before anything is made of them. */
export function parseTranslated({ data, start, end }: Message): TranslatedFlow | undefined {
  let [original, reply] = [noTuple, noTuple]
  for (const attrs = new Attrs(data, start + 4, end); attrs.next(); ) {
    if (attrs.type === cta.original) original = rawTuple(attrs.nested())
    else if (attrs.type === cta.reply) reply = rawTuple(attrs.nested())
  }
  if (!followed.includes(original.protocol) || isMirror(original, reply)) return undefined
  return { protocol: original.protocol, original: flowTuple(original), reply: flowTuple(reply) }
}

interface RawTuple {
  source: Buffer
  destination: Buffer
  sourcePort: number
  destinationPort: number
  protocol: number
}
const noTuple: RawTuple = { source: nothing, destination: nothing, sourcePort: 0, destinationPort: 0, protocol: 0 }

function isMirror(a: RawTuple, b: RawTuple): boolean {
  return (
    a.sourcePort === b.destinationPort &&
    a.destinationPort === b.sourcePort &&
    a.source.equals(b.destination) &&
    a.destination.equals(b.source)
  )
}

function rawTuple(attrs: Attrs): RawTuple {
  const raw = { ...noTuple }
  while (attrs.next()) {
    if (attrs.type === tuple.ip) addresses(attrs.nested(), raw)
    else if (attrs.type === tuple.protocol) ports(attrs.nested(), raw)
  }
  return raw
}

function addresses(attrs: Attrs, raw: RawTuple): void {
  while (attrs.next()) {
    if (attrs.type === ip.source4 || attrs.type === ip.source6) raw.source = attrs.bytes()
    else if (attrs.type === ip.destination4 || attrs.type === ip.destination6) raw.destination = attrs.bytes()
  }
}

function ports(attrs: Attrs, raw: RawTuple): void {
  while (attrs.next()) {
    if (attrs.type === port.protocol) raw.protocol = attrs.u8()
    else if (attrs.type === port.source) raw.sourcePort = attrs.bytes().readUInt16BE()
    else if (attrs.type === port.destination) raw.destinationPort = attrs.bytes().readUInt16BE()
    else if (attrs.type === port.icmpId || attrs.type === port.icmpv6Id) raw.sourcePort = raw.destinationPort = attrs.bytes().readUInt16BE()
  }
}

function flowTuple({ source, destination, sourcePort, destinationPort }: RawTuple): FlowTuple {
  return { source: fromBytes(source), destination: fromBytes(destination), sourcePort, destinationPort }
}
