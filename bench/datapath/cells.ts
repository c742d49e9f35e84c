// SPDX-License-Identifier: Apache-2.0

/** What makes the nodes of a kind. */
interface NodeKind {
  readonly programs?: 'v2' | 'services'
  readonly rules?: 'nftables' | 'iptables'
  /** Of 1 000 entries. */
  readonly policy?: true
  /** In the maps. */
  readonly services?: number
  /** With how many connections of others the table begins, and how many it has room for where that is not the default. */
  readonly flows?: number
  readonly flowEntries?: number
}
const everything = { programs: 'v2', policy: true, services: 1000 } as const

/** How the node forwards. `v2` has everything on that there is: guard, conntrack, a policy of 1 000 entries, 1 000 Services. */
export const kinds = {
  veth: {},
  veth_nft: { rules: 'nftables' },
  veth_ipt: { rules: 'iptables' },
  veth_svc: { programs: 'services', services: 1000 },
  v2_nopolicy: { programs: 'v2' },
  v2: everything,
  v2_svc1: { ...everything, services: 1 },
  v2_svc10k: { ...everything, services: 10_000 },
  v2_ct10k: { ...everything, flows: 10_000 },
  v2_ct1m: { ...everything, flows: 1_000_000, flowEntries: 2 ** 20 },
} as const satisfies Readonly<Record<string, NodeKind>>
export type Kind = keyof typeof kinds
export const kindNames = Object.keys(kinds) as readonly Kind[]
export const kindOf = (kind: Kind): NodeKind => kinds[kind]

/** Of those that rules like kube-proxy's are written for. */
export const ruledServices = 1000
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
  readonly work: Work
  readonly cpus: 1 | 2
}

const loads = works.flatMap((work): Omit<Cell, 'way'>[] =>
  work === 'stream'
    ? [{ work, cpus: 1 }]
    : [
        { work, cpus: 1 },
        { work, cpus: 2 },
      ],
)
const compared = ['veth', 'veth_nft', 'veth_ipt', 'v2_nopolicy', 'v2'] as const
const among = (between: Between, ...which: readonly Kind[]): Way[] => which.map(kind => ({ kind, between }))

/** Round trips and connections over TCP on one CPU: by way of Services, in the middle of many other connections, from the node itself. */
const more: readonly Way[] = [
  ...among('crossnode', 'veth_svc', 'v2_ct10k', 'v2_ct1m'),
  ...among('service', 'veth_svc', 'veth_nft', 'veth_ipt', 'v2', 'v2_svc1', 'v2_svc10k'),
  ...among('node', 'v2'),
  ...among('socket', 'v2'),
]

/** All of them: what is compared stands side by side, since a machine's neighbours change within seconds. */
export const cells: readonly Cell[] = loads.flatMap(load => {
  const ways: readonly Way[] = [
    { kind: 'host' },
    ...among('crossnode', ...compared),
    // Two CPUs on one node measure how the machine wakes them up.
    ...(load.cpus === 1 ? among('samenode', ...compared) : []),
    ...(load.cpus === 1 && (load.work === 'tcp_rr' || load.work === 'crr') ? more : []),
  ]
  return ways.map(way => ({ way, ...load }))
})

/** The baseline's own figure is an absolute one. */
export function figureOf({ way, work, cpus }: Cell): string {
  const load = work === 'stream' ? work : `${work}.${cpus}cpu`
  if (way.kind === 'host') return `dp.host.${load}.${work === 'stream' ? 'gbps' : 'p50.us'}`
  const { kind, between } = way
  const { services = ruledServices, flows } = kindOf(kind)
  const mode = kind.startsWith('v2_svc') ? 'v2' : kind
  if (between === 'service') return `dp.${mode}.${work}.svc${services}.vs_host`
  if (between === 'node') return `dp.${kind}.node.${work}.vs_host`
  if (between === 'socket') return `dp.${kind}.socket.${work}.vs_node`
  if (flows !== undefined) return `dp.${kind.replace('_', '.')}${work === 'crr' ? '' : `.${work}`}.vs_host`
  return `dp.${kind}.${between}.${load}.vs_host`
}

/** What sockets do beside the packets' way shows against the same way without them. */
export function baselineOf(cell: Cell): string {
  const { way } = cell
  return figureOf({ ...cell, way: way.kind !== 'host' && way.between === 'socket' ? { ...way, between: 'node' } : { kind: 'host' } })
}
