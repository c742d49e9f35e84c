// SPDX-License-Identifier: Apache-2.0
import { addressesOf } from '#ipam/book.ts'
import type { Lease } from '#ipam/ledger.ts'
import type { Ip } from '#net/ip.ts'

export interface PodFlows {
  readonly namespace: string
  readonly pod: string
  readonly flows: number
}

/** The pods that have most flows, those with none left out. `live` is by address: a pod of both families has some of each. */
export function busiestPods(live: ReadonlyMap<Ip, number>, leases: readonly Lease[], most: number): PodFlows[] {
  return podsWith(leases, ips => ips.reduce((sum, ip) => sum + (live.get(ip) ?? 0), 0))
    .map(({ namespace, pod, flows }) => ({ namespace, pod, flows }))
    .toSorted((a, b) => b.flows - a.flows)
    .slice(0, most)
}

/** The pods to which flows were refused. The programs count them by pod: each address of a pod has the same number in `refused`. */
export function refusedPods(refused: ReadonlyMap<Ip, number>, leases: readonly Lease[]): PodWithFlows[] {
  return podsWith(leases, ips => Math.max(0, ...ips.map(ip => refused.get(ip) ?? 0)))
}

type PodWithFlows = PodFlows & { readonly uid: string }

function podsWith(leases: readonly Lease[], flowsOf: (ips: readonly Ip[]) => number): PodWithFlows[] {
  return leases
    .filter(l => l.state === 'held')
    .map(lease => ({ namespace: lease.podNamespace, pod: lease.podName, uid: lease.podUid, flows: flowsOf(addressesOf(lease)) }))
    .filter(({ flows }) => flows > 0)
}
