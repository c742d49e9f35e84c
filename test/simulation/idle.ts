// SPDX-License-Identifier: Apache-2.0
import { addressesOf } from '#ipam/book.ts'
import type { EniMode, Nic, NicIp } from '#kube/crd/node.ts'
import { nodeCrs } from '#kube/crd/node.ts'
import { podsServed } from '#net/stack.ts'
import type { Cluster } from './cluster.ts'
import type { SimNode } from './node.ts'

/** How many pods the node's addresses in its CR serve, and how many more those could serve that no lease has. */
export function idleOn(c: Cluster, node: SimNode): { readonly total: number; readonly idle: number } {
  const leases = [...node.disk.leases.values()]
  const leased = new Set<string>(leases.flatMap(addressesOf))
  const nics = Object.values(c.api.read(nodeCrs, node.name)?.status?.networkInterfaces ?? {})
  const idle = nics.reduce((n, nic) => n + podsWith(c, node.mode, nic, a => !leased.has(a.ip)), 0)
  return { total: idle + leases.length, idle }
}

/** Pods that the ENI could serve with its free addresses. Where each pod has one, it serves nobody beside another. */
export function podsWith({ variant }: Cluster, mode: EniMode, nic: Nic, isFree: (a: NicIp) => boolean): number {
  const of = (addresses: Nic['ipv4']) => Object.values(addresses ?? {}).filter(isFree).length
  const pods = podsServed(variant.stack, of(nic.ipv4), of(nic.ipv6))
  if (mode === 'shared') return pods
  return Object.values({ ...nic.ipv4, ...nic.ipv6 }).every(isFree) ? Math.min(1, pods) : 0
}
