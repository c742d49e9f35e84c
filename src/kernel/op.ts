// SPDX-License-Identifier: Apache-2.0

import { type MapName, maps } from '#kernel/bpf/maps.ts'
import type { PacketProgram, ProgramName, SocketProgram } from '#kernel/bpf/object.ts'
import type { IfName, Netns } from '#kernel/names.ts'
import { unreachable } from '#lib/errors.ts'
import { baseOf, type Cidr, familyOfCidr, prefixLength } from '#net/cidr.ts'
import { familyOf, type Ip } from '#net/ip.ts'
import type { Mac } from '#net/mac.ts'

/** The kernel's number of the routing table that `ip route` means without a name. */
export const mainTable = 254

interface At {
  readonly ns: Netns
}

/** Both ends in one step; the peer is born in its own namespace, which saves the 10–20 ms that moving a device costs. */
export interface VethAdd extends At {
  readonly op: 'veth-add'
  readonly dev: IfName
  readonly mac: Mac
  readonly mtu: number
  readonly peer: { readonly ns: Netns; readonly dev: IfName; readonly mac: Mac; readonly mtu: number }
}
/** Changes what is present in `set`, nothing else. `alias` is the device's free text (`ip link set alias`). */
export interface LinkSet extends At {
  readonly op: 'link-set'
  readonly dev: IfName
  readonly set: { readonly up?: boolean; readonly mtu?: number; readonly alias?: string }
}
/**
 * Takes a device into another namespace and names it there, in one step; or only names it, where `to` is the namespace that it is in: then it must be
 * down. It arrives down, without addresses, routes and queues, and with the settings that devices have by default there. Costs 10–20 ms.
 */
export interface LinkMove extends At {
  readonly op: 'link-move'
  readonly dev: IfName
  readonly to: Netns
  readonly name: IfName
}
export interface LinkDel extends At {
  readonly op: 'link-del'
  readonly dev: IfName
}
/** `nodad`: an IPv6 address is usable at once, without duplicate address detection. */
export interface AddrOp extends At {
  readonly op: 'addr-add' | 'addr-del'
  readonly dev: IfName
  readonly address: Ip
  readonly prefix: number
  readonly nodad?: boolean
}
/**
 * A unicast route. `dst` 0.0.0.0/0 or ::/0 is the default route. `onlink`: the gateway is reachable although no route says so.
 * Appended, it stands beside other routes of the prefix; replacing takes the place of one of them, whatever its device.
 */
export interface RouteOp extends At {
  readonly op: 'route-replace' | 'route-append' | 'route-del'
  readonly table: number
  readonly dst: Cidr
  readonly dev: IfName
  readonly via?: Ip
  readonly scope: 'global' | 'link'
  readonly onlink?: boolean
}
/** Exactly one of `from` and `to` is used by the datapath. */
export interface RuleOp extends At {
  readonly op: 'rule-add' | 'rule-del'
  readonly priority: number
  readonly from?: Cidr
  readonly to?: Cidr
  readonly table: number
}
/** A permanent neighbour. */
export interface NeighReplace extends At {
  readonly op: 'neigh-replace'
  readonly dev: IfName
  readonly ip: Ip
  readonly mac: Mac
}
/** `key` is the path below /proc/sys, with slashes, since device names may have dots: `net/ipv4/conf/eth0.5/forwarding`. */
export interface SysctlSet extends At {
  readonly op: 'sysctl-set'
  readonly key: string
  readonly value: string
}
/** A token bucket at the root of a device. Rate in bytes per second; burst and limit in bytes. */
export interface TbfReplace extends At {
  readonly op: 'tbf-replace'
  readonly dev: IfName
  readonly rate: number
  readonly burst: number
  readonly limit: number
}

/** A clsact qdisc whose hooks are shared filter blocks: what runs on the device is what runs in the block. No block = nothing at that hook. */
export interface BlockJoin extends At {
  readonly op: 'block-join'
  readonly dev: IfName
  readonly ingress?: number
  readonly egress?: number
}
/** Takes the clsact qdisc away. A block ends with its last device. */
export interface BlockLeave extends At {
  readonly op: 'block-leave'
  readonly dev: IfName
}
/** Makes a program of a loaded generation the one that runs in a block, in one step: every packet meets the old or the new one. */
export interface FilterSet extends At {
  readonly op: 'filter-set'
  readonly block: number
  readonly program: PacketProgram
  readonly generation: string
}
/** Makes a program of a loaded generation the one that sockets of the node meet, in one step; it stays until it is detached, whichever process ends. */
export interface SocketAttach extends At {
  readonly op: 'socket-attach'
  readonly program: SocketProgram
  readonly generation: string
}
export interface SocketDetach extends At {
  readonly op: 'socket-detach'
  readonly program: SocketProgram
}
/** One entry of a program's map, key and value in hex. */
export interface MapPut extends At {
  readonly op: 'map-put'
  readonly map: MapName
  readonly key: string
  readonly value: string
  /** The first four bytes of one of them are the number of this device, which the same list may make. */
  readonly numberOf?: { readonly dev: IfName; readonly in: 'key' | 'value' }
}
export interface MapDel extends At {
  readonly op: 'map-del'
  readonly map: MapName
  readonly key: string
}
/** A change of an entry that needs nothing but the map. */
export type EntryOp = Omit<MapPut, 'numberOf'> | MapDel

/** One change of the kernel's network state. A value: planned, compared, logged, sent to the worker, printed by dry runs. */
export type KernelOp =
  | VethAdd
  | LinkSet
  | LinkMove
  | LinkDel
  | AddrOp
  | RouteOp
  | RuleOp
  | NeighReplace
  | SysctlSet
  | TbfReplace
  | BlockJoin
  | BlockLeave
  | FilterSet
  | SocketAttach
  | SocketDetach
  | MapPut
  | MapDel

/**
 * The operation as the command line that does the same: iproute2, tc and sysctl words, with `nsenter` for a namespace
 * other than the host's. `ip link add cali0 address … mtu 1500 type veth peer name eth0 …`.
 */
export function formatOp(op: KernelOp): string {
  return op.ns === 'host' ? command(op) : `nsenter --net=${op.ns} ${command(op)}`
}

function command(op: KernelOp): string {
  switch (op.op) {
    case 'veth-add': {
      const netns = op.peer.ns === 'host' ? '' : ` netns ${op.peer.ns}`
      return `ip link add ${op.dev} address ${op.mac} mtu ${op.mtu} type veth peer name ${op.peer.dev} address ${op.peer.mac} mtu ${op.peer.mtu}${netns}`
    }
    case 'link-set':
      return words('ip link set', op.dev, upDown(op.set.up), pair('mtu', op.set.mtu), alias(op.set.alias))
    case 'link-move':
      return `ip link set ${op.dev} ${op.to === op.ns ? '' : `netns ${op.to === 'host' ? '1' : op.to} `}name ${op.name}`
    case 'link-del':
      return `ip link del ${op.dev}`
    case 'addr-add':
    case 'addr-del': {
      const add = op.op === 'addr-add'
      return words(`ip addr ${add ? 'add' : 'del'}`, `${op.address}/${op.prefix}`, `dev ${op.dev}`, add && op.nodad ? 'nodad' : '')
    }
    case 'route-replace':
    case 'route-append':
    case 'route-del':
      return route(op)
    case 'rule-add':
    case 'rule-del': {
      const ip = familyOfCidr(op.from ?? op.to ?? ('0.0.0.0/0' as Cidr)) === 6 ? 'ip -6' : 'ip'
      const verb = op.op === 'rule-add' ? 'add' : 'del'
      return words(`${ip} rule ${verb} priority ${op.priority}`, pair('from', op.from), pair('to', op.to), `lookup ${tableName(op.table)}`)
    }
    case 'neigh-replace':
      return `${familyOf(op.ip) === 6 ? 'ip -6' : 'ip'} neigh replace ${op.ip} lladdr ${op.mac} dev ${op.dev} nud permanent`
    case 'sysctl-set':
      return `sysctl -w ${sysctlName(op.key)}=${op.value}`
    case 'tbf-replace':
      return `tc qdisc replace dev ${op.dev} root handle 1: tbf rate ${op.rate}bps burst ${op.burst} limit ${op.limit}`
    case 'block-join':
      return words(`tc qdisc add dev ${op.dev}`, pair('ingress_block', op.ingress), pair('egress_block', op.egress), 'clsact')
    case 'block-leave':
      return `tc qdisc del dev ${op.dev} clsact`
    case 'filter-set':
      return `tc filter replace block ${op.block} handle 1 protocol all bpf direct-action object-pinned ${pinOfProgram(op.generation, op.program)}`
    case 'socket-attach':
      return `bpftool cgroup attach <root of cgroup 2> ${op.program} pinned ${pinOfProgram(op.generation, op.program)}`
    case 'socket-detach':
      return `bpftool link detach pinned ${pinOfLink(op.program)}`
    case 'map-put':
      return `bpftool map update pinned ${pinOfMap(op.map)} key hex ${bytesIn(op, 'key')} value hex ${bytesIn(op, 'value')}`
    case 'map-del':
      return `bpftool map delete pinned ${pinOfMap(op.map)} key hex ${bytewise(op.key)}`
    default:
      return unreachable(op)
  }
}

function route(op: RouteOp): string {
  const dst = prefixLength(op.dst) === 0 ? 'default' : op.dst
  return words(
    `${familyOf(baseOf(op.dst)) === 6 ? 'ip -6' : 'ip'} route ${op.op.replace('route-', '')} ${dst}`,
    pair('via', op.via),
    `dev ${op.dev}`,
    op.table === mainTable ? '' : `table ${op.table}`,
    op.scope === 'link' && op.via === undefined ? 'scope link' : '',
    op.onlink ? 'onlink' : '',
  )
}

function upDown(up: boolean | undefined): string {
  return up === undefined ? '' : up ? 'up' : 'down'
}

function pair(word: string, value: string | number | undefined): string {
  return value === undefined ? '' : `${word} ${value}`
}

/** An empty one takes the text away. */
function alias(text: string | undefined): string {
  return pair('alias', text === '' ? "''" : text)
}

function words(...parts: readonly string[]): string {
  return parts.filter(p => p !== '').join(' ')
}

function tableName(table: number): string {
  return table === mainTable ? 'main' : table === 255 ? 'local' : String(table)
}

/** Where a program and a map are pinned, below the directory of ours on a BPF file system. */
export function pinOfProgram(generation: string, program: ProgramName): string {
  return `programs/${generation}/${program}`
}

/** What holds a program at the sockets of the node. */
export function pinOfLink(program: SocketProgram): string {
  return `links/${program}`
}

/** Names with a dot are refused by a BPF file system. */
export function pinOfMap(map: MapName): string {
  return `maps/${map}-${maps[map].layout}`
}

function bytesIn(op: MapPut, part: 'key' | 'value'): string {
  if (op.numberOf?.in !== part) return bytewise(op[part])
  return words(`<number of ${op.numberOf.dev}>`, bytewise(op[part].slice(8)))
}

function bytewise(hex: string): string {
  return hex.replace(/..(?=.)/g, '$& ')
}

/** sysctl(8) swaps the two separators: a dot inside a name is written as a slash. */
function sysctlName(key: string): string {
  return key.replace(/[./]/g, c => (c === '/' ? '.' : '/'))
}
