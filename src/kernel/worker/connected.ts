// SPDX-License-Identifier: Apache-2.0
import type { Netns } from '#kernel/names.ts'
import { destroyConnected, listConnected } from '#kernel/netlink/sock-diag.ts'
import type { ConnectedSocket } from '#kernel/port.ts'
import type { Namespaces } from '#kernel/worker/namespaces.ts'

/** The connected sockets of UDP in all of these namespaces that exist still. Throws as `listConnected` does. */
export function connectedIn(all: readonly Netns[], namespaces: Namespaces): ConnectedSocket[] {
  return all.flatMap(ns => namespaces.find(ns)?.inside(() => listConnected(ns)) ?? [])
}

/** Ends these, each in its namespace; how many there still were. With none it tells whether the kernel can. Throws NetlinkError. */
export function destroyIn(sockets: readonly ConnectedSocket[], namespaces: Namespaces): number {
  if (sockets.length === 0) return destroyConnected([])
  const byNamespace = Map.groupBy(sockets, s => s.ns)
  return [...byNamespace].reduce((sum, [ns, some]) => sum + (namespaces.find(ns)?.inside(() => destroyConnected(some)) ?? 0), 0)
}
