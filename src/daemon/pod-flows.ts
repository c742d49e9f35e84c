// SPDX-License-Identifier: Apache-2.0
import { addressesOf } from '#ipam/book.ts'
import type { Lease } from '#ipam/ledger.ts'
import type { Ip } from '#net/ip.ts'

export interface PodFlows {
  readonly namespace: string
  readonly pod: string
  readonly flows: number
}

/** The pods that have most flows, those with none left out. `live` is by address. */
export function busiestPods(live: ReadonlyMap<Ip, number>, leases: readonly Lease[], most: number): PodFlows[] {
  return podsWith(live, leases)
    .map(({ namespace, pod, flows }) => ({ namespace, pod, flows }))
    .toSorted((a, b) => b.flows - a.flows)
    .slice(0, most)
}

/** The pods that have some. */
export function podsWith(live: ReadonlyMap<Ip, number>, leases: readonly Lease[]): (PodFlows & { readonly uid: string })[] {
  return leases
    .filter(l => l.state === 'held')
    .map(lease => ({ namespace: lease.podNamespace, pod: lease.podName, uid: lease.podUid, flows: flowsOf(live, lease) }))
    .filter(({ flows }) => flows > 0)
}

function flowsOf(live: ReadonlyMap<Ip, number>, lease: Lease): number {
  return addressesOf(lease).reduce((sum, ip) => sum + (live.get(ip) ?? 0), 0)
}
