// SPDX-License-Identifier: Apache-2.0
import { addressesOf } from '#ipam/book.ts'
import type { Nic, NicIp } from '#kube/crd/node.ts'
import { nodeCrs } from '#kube/crd/node.ts'
import { podsServed, type Stack } from '#net/stack.ts'
import type { Cluster } from './cluster.ts'
import type { SimNode } from './node.ts'

/** How many pods the node's addresses in its CR serve, and how many more those could serve that no lease has. */
export function idleOn(c: Cluster, node: SimNode): { readonly total: number; readonly idle: number } {
  const leases = [...node.disk.leases.values()]
  const leased = new Set<string>(leases.flatMap(addressesOf))
  const nics = Object.values(c.api.read(nodeCrs, node.name)?.status?.networkInterfaces ?? {})
  const idle = nics.reduce((n, nic) => n + podsWith(c.variant.stack, nic, a => !leased.has(a.ip)), 0)
  return { total: idle + leases.length, idle }
}

/** Pods that such addresses of the ENI could serve. */
export function podsWith(stack: Stack, nic: Nic, such: (a: NicIp) => boolean): number {
  const of = (addresses: Nic['ipv4']) => Object.values(addresses ?? {}).filter(such).length
  return podsServed(stack, of(nic.ipv4), of(nic.ipv6))
}
