// SPDX-License-Identifier: Apache-2.0
import { Attrs, Body } from '#kernel/netlink/attr.ts'
import { type Message, type NetlinkConn, NetlinkError } from '#kernel/netlink/conn.ts'
import { flag, rtm } from '#kernel/netlink/header.ts'
import type { FilterState, HookState } from '#kernel/state.ts'

const tca = { kind: 1, options: 2, ingressBlock: 13, egressBlock: 14 } as const
const bpf = { fd: 6, name: 7, flags: 8, id: 11 } as const
const directAction = 1
const clsact = { parent: 0xfffffff1, handle: 0xffff0000 } as const
/** TCM_IFINDEX_MAGIC_BLOCK: the filter is a block's, whose number stands where a device's filters have their parent. */
const ofBlock = 0xffffffff
/** Priority 1, ETH_P_ALL in network order. */
const first = 0x10300
/** Of our filter in each block. */
const ourHandle = 1

/** struct tcmsg */
function tcmsg(index: number, handle: number, parent: number, info: number): Body {
  return new Body().u8(0, 0).u16(0).u32(index, handle, parent, info)
}

/** What a device joins; undefined when it has neither an ingress nor a clsact qdisc. */
export function getHook(conn: NetlinkConn, index: number): HookState | undefined {
  try {
    return conn.getIfAny(rtm.getQdisc, tcmsg(index, 0, clsact.parent, 0), parseHook, flag.echo)
  } catch (e) {
    if (e instanceof NetlinkError && e.errno === 'ENOENT') return undefined
    throw e
  }
}

export function parseHook({ data, start, end }: Message): HookState {
  let [kind, ingress, egress]: [string, number?, number?] = ['']
  for (const attrs = new Attrs(data, start + 20, end); attrs.next(); ) {
    if (attrs.type === tca.kind) kind = attrs.string()
    else if (attrs.type === tca.ingressBlock) ingress = attrs.u32()
    else if (attrs.type === tca.egressBlock) egress = attrs.u32()
  }
  return {
    ifIndex: data.readInt32LE(start + 4),
    ...(ingress === undefined ? {} : { ingress }),
    ...(egress === undefined ? {} : { egress }),
    foreign: kind !== 'clsact' || (ingress === undefined && egress === undefined),
  }
}

/** `tc qdisc add dev $index ingress_block … egress_block … clsact`. Nothing happens when the device joins these already; EEXIST when it has other hooks. */
export function joinBlocks(conn: NetlinkConn, index: number, ingress: number | undefined, egress: number | undefined): void {
  const body = tcmsg(index, clsact.handle, clsact.parent, 0).attrString(tca.kind, 'clsact')
  if (ingress !== undefined) body.attrU32(tca.ingressBlock, ingress)
  if (egress !== undefined) body.attrU32(tca.egressBlock, egress)
  try {
    conn.request(rtm.newQdisc, flag.create | flag.exclusive, body)
  } catch (e) {
    if (!(e instanceof NetlinkError && e.errno === 'EEXIST')) throw e
    const there = getHook(conn, index)
    if (there !== undefined && !there.foreign && there.ingress === ingress && there.egress === egress) return
    throw new NetlinkError('EEXIST', `the device has ${describe(there)}`)
  }
}

function describe(hook: HookState | undefined): string {
  if (hook === undefined || hook.foreign) return 'an ingress or clsact qdisc of somebody else'
  return `a clsact qdisc that joins other blocks: ingress ${hook.ingress ?? 'none'}, egress ${hook.egress ?? 'none'}`
}

/** `tc qdisc del dev $index clsact`; leaves alone what joins no block, since it is somebody else's. */
export function leaveBlocks(conn: NetlinkConn, index: number): void {
  const hook = getHook(conn, index)
  if (hook === undefined || hook.foreign) return
  conn.request(rtm.delQdisc, 0, tcmsg(index, clsact.handle, clsact.parent, 0))
}

/** A program, by its descriptor, that is to run in a block, and the name that its filter bears. */
export interface FilterOf {
  readonly block: number
  readonly program: number
  readonly name: string
}

/** `tc filter replace block $block handle 1 prio 1 protocol all bpf direct-action fd … name …` of each, in one datagram: each packet meets the old or the new program. */
export function setFilters(conn: NetlinkConn, filters: readonly FilterOf[]): void {
  const bodies = filters.map(({ block, program, name }) =>
    tcmsg(ofBlock, ourHandle, block, first)
      .attrString(tca.kind, 'bpf')
      .nest(tca.options, options => options.attrU32(bpf.fd, program).attrString(bpf.name, name).attrU32(bpf.flags, directAction)),
  )
  if (bodies.length > 0) conn.requestAll(rtm.newFilter, flag.create, bodies)
}

/** A filter, and the number of its program when it has one. */
export type FoundFilter = FilterState & { readonly program?: number }

/** None when there is no such block. */
export function listFilters(conn: NetlinkConn, block: number): FoundFilter[] {
  return conn.dump(rtm.getFilter, tcmsg(ofBlock, 0, block, 0), parseFilter)
}

export function parseFilter({ data, start, end }: Message): FoundFilter | undefined {
  // A message without a handle announces the filters of one priority.
  if (data.readUInt32LE(start + 8) === 0) return undefined
  let [kind, name, program]: [string, string?, number?] = ['']
  for (const attrs = new Attrs(data, start + 20, end); attrs.next(); ) {
    if (attrs.type === tca.kind) kind = attrs.string()
    else if (attrs.type === tca.options && kind === 'bpf') {
      for (const inner = attrs.nested(); inner.next(); ) {
        if (inner.type === bpf.name) name = inner.string()
        else if (inner.type === bpf.id) program = inner.u32()
      }
    }
  }
  return { block: data.readUInt32LE(start + 12), name: name ?? kind, ...(program === undefined ? {} : { program }) }
}
