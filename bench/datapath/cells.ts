// SPDX-License-Identifier: Apache-2.0

/** How the node forwards. `v2` has everything on that there is: guard, conntrack, and a policy of 1 000 entries. */
export const kinds = ['veth', 'veth_nft', 'veth_ipt', 'v2_nopolicy', 'v2'] as const
export type Kind = (typeof kinds)[number]
export const works = ['tcp_rr', 'udp_rr', 'crr', 'stream'] as const
export type Work = (typeof works)[number]

/** Where the two ends are. `host`: on two nodes, without pods; the baseline of all others. */
export type Way = { readonly kind: 'host' } | { readonly kind: Kind; readonly between: 'crossnode' | 'samenode' }

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

/** All of them: what is compared stands side by side, since a machine's neighbours change within seconds. */
export const cells: readonly Cell[] = loads.flatMap(load => [
  { way: { kind: 'host' }, ...load },
  ...kinds.map((kind): Cell => ({ way: { kind, between: 'crossnode' }, ...load })),
  // Two CPUs on one node measure how the machine wakes them up.
  ...(load.cpus === 1 ? kinds.map((kind): Cell => ({ way: { kind, between: 'samenode' }, ...load })) : []),
])

/** The baseline's own figure is an absolute one. */
export function figureOf({ way, work, cpus }: Cell): string {
  const load = work === 'stream' ? work : `${work}.${cpus}cpu`
  if (way.kind === 'host') return `dp.host.${load}.${work === 'stream' ? 'gbps' : 'p50.us'}`
  return `dp.${way.kind}.${way.between}.${load}.vs_host`
}

export function baselineOf(cell: Cell): string {
  return figureOf({ ...cell, way: { kind: 'host' } })
}
