// SPDX-License-Identifier: Apache-2.0
import type { Family } from './services.ts'

/** What makes the nodes of a kind. */
interface NodeKind {
  /** `redirect` does nothing but redirect, attached as the product attaches its programs, or by tcx. */
  readonly programs?: 'v2' | 'services' | 'redirect'
  readonly tcx?: true
  readonly proxy?: 'nftables' | 'iptables'
  /** Of 1 000 entries. */
  readonly policy?: true
  /** In the maps, or in kube-proxy's rules. */
  readonly services?: number
  /** With how many connections of others the table begins, and how many it has room for where that is not the default. */
  readonly flows?: number
  readonly flowEntries?: number
  /** The first pod has the node's ENI for itself, and is the only one. */
  readonly exclusive?: true
}
const everything = { programs: 'v2', policy: true, services: 1000 } as const

/** How the node forwards. `v2` has everything on that there is: guard, conntrack, a policy of 1 000 entries, 1 000 Services. */
export const kinds = {
  veth: {},
  veth_nft: { proxy: 'nftables', services: 1000 },
  veth_ipt: { proxy: 'iptables', services: 1000 },
  veth_svc: { programs: 'services', services: 1000 },
  minimal: { programs: 'redirect', tcx: true },
  minimal_block: { programs: 'redirect' },
  v2_nopolicy: { programs: 'v2' },
  v2: everything,
  v2_svc1: { ...everything, services: 1 },
  v2_svc100: { ...everything, services: 100 },
  v2_svc10k: { ...everything, services: 10_000 },
  v2_ct10k: { ...everything, flows: 10_000 },
  v2_ct1m: { ...everything, flows: 1_000_000, flowEntries: 2 ** 20 },
  exclusive: { exclusive: true },
} as const satisfies Readonly<Record<string, NodeKind>>
export type Kind = keyof typeof kinds
export const kindNames = Object.keys(kinds) as readonly Kind[]
export const kindOf = (kind: Kind): NodeKind => kinds[kind]

export const works = ['tcp_rr', 'udp_rr', 'crr', 'stream'] as const
export type Work = (typeof works)[number]

/**
 * Where the two ends are. `host`: on two nodes, without pods; the baseline of others. From a pod to one of the other node (by its address, or by a
 * Service's), or of its own node; from a process on the node's own network to one of the other node's, by its address or by a Service's.
 */
export type Between = 'crossnode' | 'samenode' | 'service' | 'node' | 'socket'
export type Way = { readonly kind: 'host' } | { readonly kind: Kind; readonly between: Between }

/** One thing that is measured in every round. */
export interface Cell {
  readonly way: Way
  readonly family: Family
  readonly work: Work
  readonly cpus: 1 | 2
}

const host: Way = { kind: 'host' }
const among = (between: Between, ...which: readonly Kind[]): Way[] => which.map(kind => ({ kind, between }))
const across = [host, ...among('crossnode', 'veth', 'veth_nft', 'veth_ipt', 'minimal', 'minimal_block', 'v2_nopolicy', 'v2', 'exclusive')]
const onOne = among('samenode', 'veth', 'veth_nft', 'minimal', 'minimal_block', 'v2')
const toService = among('service', 'veth_nft', 'veth_ipt', 'v2')
const fromNode = [...among('node', 'v2'), ...among('socket', 'v2')]
/** On two CPUs waking the other one is most of the time; and on one node it is nearly all. */
const onTwo = [host, ...among('crossnode', 'veth', 'minimal', 'v2')]
const ofIpv6 = [host, ...among('crossnode', 'veth', 'v2', 'exclusive'), ...toService]

/** What is compared stands side by side, since a machine's neighbours change within seconds. */
const measured: readonly (readonly [Work, Cell['cpus'], Family, readonly Way[]])[] = [
  [
    'tcp_rr',
    1,
    4,
    [...across, ...onOne, ...toService, ...among('crossnode', 'veth_svc', 'v2_ct1m'), ...among('service', 'veth_svc'), ...fromNode],
  ],
  ['tcp_rr', 1, 6, ofIpv6],
  ['tcp_rr', 2, 4, onTwo],
  ['udp_rr', 1, 4, [...across, ...onOne, ...toService]],
  ['udp_rr', 2, 4, onTwo],
  [
    'crr',
    1,
    4,
    [
      ...[...across, ...onOne, ...toService],
      ...among('crossnode', 'veth_svc', 'v2_ct10k', 'v2_ct1m'),
      ...among('service', 'veth_svc', 'v2_svc1', 'v2_svc100', 'v2_svc10k'),
      ...fromNode,
    ],
  ],
  ['crr', 1, 6, ofIpv6],
  ['crr', 2, 4, onTwo],
  ['stream', 1, 4, [...across, ...onOne]],
]
export const cells: readonly Cell[] = measured.flatMap(([work, cpus, family, ways]) => ways.map(way => ({ way, work, cpus, family })))

/** The baseline's own figure is an absolute one. */
export function figureOf({ way, work, cpus, family }: Cell): string {
  const load = work === 'stream' ? work : `${work}.${cpus}cpu`
  const of = (who: string) => `dp.${who}${family === 6 ? '.v6' : ''}`
  if (way.kind === 'host') return `${of('host')}.${load}.${work === 'stream' ? 'gbps' : 'p50.us'}`
  const { kind, between } = way
  const { services, flows } = kindOf(kind)
  const mode = kind.startsWith('v2_svc') ? 'v2' : kind
  if (between === 'service') return `${of(mode)}.${work}.svc${services}.vs_host`
  if (between === 'node') return `${of(kind)}.node.${work}.vs_host`
  if (between === 'socket') return `${of(kind)}.socket.${work}.vs_node`
  if (flows !== undefined) return `dp.${kind.replace('_', '.')}${work === 'crr' ? '' : `.${work}`}.vs_host`
  return `${of(kind)}.${between}.${load}.vs_host`
}

/** What sockets do beside the packets' way shows against the same way without them. */
export function baselineOf(cell: Cell): string {
  const { way } = cell
  return figureOf({ ...cell, way: way.kind !== 'host' && way.between === 'socket' ? { ...way, between: 'node' } : host })
}
