// SPDX-License-Identifier: Apache-2.0
import type { MapName } from '#kernel/bpf/maps.ts'
import type { PacketProgram } from '#kernel/bpf/object.ts'
import type { IfName, Netns, NetnsPath } from '#kernel/names.ts'
import type { LinkState } from '#kernel/state.ts'
import type { Cidr } from '#net/cidr.ts'
import type { Family, Ip } from '#net/ip.ts'
import type { Mac } from '#net/mac.ts'

/** A device and where it is. */
export interface Dev {
  readonly ns: Netns
  readonly dev: IfName
}

/** The pair that joins a pod to the host. `owner` (the container id) is written on the host end as its alias. */
export interface VethWant {
  readonly hostDev: IfName
  readonly hostMac: Mac
  readonly netns: NetnsPath
  readonly podDev: IfName
  readonly podMac: Mac
  readonly mtu: number
}
/** Where a device is wanted that is somewhere already. It goes down on the way. */
export interface MoveWant extends Dev {
  readonly from: Netns
  /** As it is there. */
  readonly link: LinkState
  /** What it says of itself from now on; '' = nothing. */
  readonly alias: string
}
/** Every wanted device is up. */
export interface LinkWant extends Dev {
  readonly mtu?: number
  /** Raised to this when lower, never lowered: pods of different MTUs share the device. */
  readonly minMtu?: number
  readonly alias?: string
}
export interface AddrWant extends Dev {
  readonly address: Ip
  readonly prefix: number
  readonly nodad?: boolean
  /** False: this very address must not be there. */
  readonly present: boolean
}
export interface SysctlWant {
  readonly ns: Netns
  readonly key: string
  readonly value: string
  /** Changed only from one of these values; any other stays. */
  readonly instead?: readonly string[]
}
export interface RouteWant extends Dev {
  readonly table: number
  readonly dst: Cidr
  readonly via?: Ip
  readonly scope: 'global' | 'link'
  readonly onlink?: boolean
  /** Other devices have a route for the same prefix, which stays. */
  readonly beside?: boolean
}
/** No other route of the table leads over the device by this gateway. */
export interface OnlyRoutesWant extends Dev {
  readonly table: number
  readonly via: Ip
}
export interface RuleWant {
  readonly priority: number
  readonly from?: Cidr
  readonly to?: Cidr
  readonly table: number
}
export interface NeighWant extends Dev {
  readonly ip: Ip
  readonly mac: Mac
}
export interface TbfWant extends Dev {
  readonly rate: number
  readonly burst: number
  readonly limit: number
}

/** The filter blocks that a device joins; neither = it joins none. */
export interface HookWant extends Dev {
  readonly ingress?: number
  readonly egress?: number
}
/** What runs in a block, as long as any device joins it. */
export interface FilterWant {
  readonly block: number
  readonly program: PacketProgram
  readonly generation: string
}
/** An entry of a map of the programs, in hex. */
export interface EntryWant {
  readonly map: MapName
  readonly key: string
  readonly value: string
  /** The first four bytes of one of them are the number of this device, which is still to be made. */
  readonly numberOf?: { readonly dev: IfName; readonly in: 'key' | 'value' }
}

/** The whole wanted state of one pod, or of one ENI. What it does not mention is not touched. Rules are the host's. */
export interface Desired {
  readonly veth?: VethWant
  readonly moves: readonly MoveWant[]
  readonly links: readonly LinkWant[]
  readonly sysctls: readonly SysctlWant[]
  readonly addrs: readonly AddrWant[]
  /** Devices on which no other global address of the family may stay. */
  readonly exclusive: readonly (Dev & { readonly family: Family })[]
  readonly neighs: readonly NeighWant[]
  readonly routes: readonly RouteWant[]
  readonly onlyRoutes: readonly OnlyRoutesWant[]
  readonly rules: readonly RuleWant[]
  readonly tbfs: readonly TbfWant[]
  readonly entries: readonly EntryWant[]
  readonly hooks: readonly HookWant[]
  readonly filters: readonly FilterWant[]
}

/** Wants nothing: a plan names what it wants beside it. */
export const nothing: Desired = {
  moves: [],
  links: [],
  sysctls: [],
  addrs: [],
  exclusive: [],
  neighs: [],
  routes: [],
  onlyRoutes: [],
  rules: [],
  tbfs: [],
  entries: [],
  hooks: [],
  filters: [],
}

/** Both wanted states, the first one's operations first. At most one may want a veth. */
export function merge(a: Desired, b: Desired): Desired {
  const veth = a.veth ?? b.veth
  return {
    ...(veth === undefined ? {} : { veth }),
    moves: [...a.moves, ...b.moves],
    links: [...a.links, ...b.links],
    sysctls: [...a.sysctls, ...b.sysctls],
    addrs: [...a.addrs, ...b.addrs],
    exclusive: [...a.exclusive, ...b.exclusive],
    neighs: [...a.neighs, ...b.neighs],
    routes: [...a.routes, ...b.routes],
    onlyRoutes: [...a.onlyRoutes, ...b.onlyRoutes],
    rules: [...a.rules, ...b.rules],
    tbfs: [...a.tbfs, ...b.tbfs],
    entries: [...a.entries, ...b.entries],
    hooks: [...a.hooks, ...b.hooks],
    filters: [...a.filters, ...b.filters],
  }
}
