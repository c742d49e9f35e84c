// SPDX-License-Identifier: Apache-2.0
import { nodeCrs } from '#kube/crd/node.ts'
import type { Cluster } from './cluster.ts'
import type { SimNode } from './node.ts'

/** The node's addresses in its CR, and those of them that no lease has. */
export function idleOn(c: Cluster, node: SimNode): { readonly total: number; readonly idle: number } {
  const nics = Object.values(c.api.read(nodeCrs, node.name)?.status?.networkInterfaces ?? {})
  const total = nics.reduce((n, nic) => n + Object.keys(nic.ipv4 ?? {}).length, 0)
  return { total, idle: total - node.disk.leases.size }
}
