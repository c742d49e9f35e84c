// SPDX-License-Identifier: Apache-2.0
import type { MapName } from '#kernel/bpf/maps.ts'
import type { SocketProgram } from '#kernel/bpf/object.ts'
import type { IfName, Netns } from '#kernel/names.ts'
import type { Cidr } from '#net/cidr.ts'
import type { Family, Ip } from '#net/ip.ts'
import type { Mac } from '#net/mac.ts'

/** One device as the kernel shows it. */
export interface LinkState {
  readonly name: IfName
  readonly index: number
  readonly mac?: Mac
  readonly mtu: number
  readonly up: boolean
  readonly alias?: string
  readonly kind?: string
  /** Index of the other end of a veth (or of the parent device), in the namespace `peerNsid` names; no `peerNsid` = in this one. */
  readonly peerIndex?: number
  readonly peerNsid?: number
  readonly qdisc?: string
}

export interface AddrState {
  readonly ifIndex: number
  readonly address: Ip
  readonly prefix: number
  /** `global` is what `ip addr` calls scope global. */
  readonly scope: 'global' | 'link' | 'host' | 'other'
  readonly secondary: boolean
}

/** A unicast route with one next hop (others are not reported). */
export interface RouteState {
  readonly table: number
  readonly dst: Cidr
  readonly ifIndex: number
  readonly via?: Ip
  readonly prefSrc?: Ip
  readonly scope: 'global' | 'link' | 'other'
  readonly onlink: boolean
  readonly priority: number
}

/** A rule that selects by source and destination prefix only and looks up a table; rules with any other selector are not reported. */
export interface RuleState {
  readonly family: Family
  readonly priority: number
  readonly from?: Cidr
  readonly to?: Cidr
  readonly table: number
}

export interface NeighState {
  readonly ifIndex: number
  readonly ip: Ip
  readonly mac?: Mac
  readonly permanent: boolean
}

/** A token bucket at the root of a device. */
export interface TbfState {
  readonly ifIndex: number
  readonly rate: number
  readonly limit: number
}

/** What runs where a device receives and sends. */
export interface HookState {
  readonly ifIndex: number
  /** Blocks that the device's clsact qdisc joins. */
  readonly ingress?: number
  readonly egress?: number
  /** There is an ingress or clsact qdisc that joins no block: somebody else's. */
  readonly foreign: boolean
}

/** The program of a block: `name` is `<program>.<generation>` when it is one of ours, else what its maker calls it. */
export interface FilterState {
  readonly block: number
  readonly name: string
}

/** A program that sockets of the node meet: `name` as of a filter. */
export interface SocketState {
  readonly program: SocketProgram
  readonly name: string
}

/** Which entry of a map; bytes in hex. */
export interface EntryKey {
  readonly map: MapName
  readonly key: string
}

/** An entry of a map as the kernel has it. */
export interface RawEntry {
  readonly key: Uint8Array
  readonly value: Uint8Array
}

/** An entry of a map that was asked for and is there. */
export interface EntryState extends EntryKey {
  readonly value: string
}

/** What to look at in one namespace. What is not asked for is not read; each part costs as much as it returns. */
export interface NsQuery {
  readonly ns: Netns
  /** Devices by name (absent ones are simply not in the answer), or every device. */
  readonly links: readonly IfName[] | 'all'
  /** Addresses of the devices found. */
  readonly addrs?: boolean
  /** What the devices found know of these neighbours, permanent or learned. */
  readonly neighs?: readonly Ip[]
  /** Root token buckets of the devices found. */
  readonly tbfs?: boolean
  /** Routes of these tables; with `dst`, only those for exactly these prefixes. Both families unless `families` says otherwise. */
  readonly routes?: { readonly tables: readonly number[]; readonly dst?: readonly Cidr[] }
  /** Rules with one of these priorities; with `prefixes`, only those whose `from` or `to` is one of them. */
  readonly rules?: { readonly priorities: readonly number[]; readonly prefixes?: readonly Cidr[] }
  /** Paths below /proc/sys. */
  readonly sysctls?: readonly string[]
  /** What the devices found join. */
  readonly hooks?: boolean
  /** Filters of these blocks. */
  readonly blocks?: readonly number[]
  /** Programs at sockets. */
  readonly sockets?: boolean
  /** The kernel's cookie of this namespace, and among `entries` the one of `namespaces` that it has. */
  readonly cookie?: boolean
  /** Entries of maps, by hex key. A map that is not pinned has none. */
  readonly entries?: readonly EntryKey[]
  readonly families: readonly Family[]
  /** Asks which number (nsid) this namespace gives to these others, to recognise the far end of a veth. */
  readonly nsids?: readonly Netns[]
}

/** The answer to one NsQuery. Every list is empty when its part was not asked for. */
export interface NsState {
  readonly ns: Netns
  readonly links: readonly LinkState[]
  readonly addrs: readonly AddrState[]
  readonly neighs: readonly NeighState[]
  readonly tbfs: readonly TbfState[]
  readonly routes: readonly RouteState[]
  readonly rules: readonly RuleState[]
  /** Trimmed contents; a key that does not exist is missing here. */
  readonly sysctls: Readonly<Record<string, string>>
  readonly nsids: Readonly<Record<string, number>>
  readonly hooks: readonly HookState[]
  readonly filters: readonly FilterState[]
  readonly sockets: readonly SocketState[]
  /** Missing when it was not asked for, and where the kernel tells nobody (before 5.14, where programs at sockets tell those of pods). */
  readonly cookie?: bigint
  readonly entries: readonly EntryState[]
}

/** Undefined when the namespace does not exist (any more). */
export type Observed = NsState | undefined
