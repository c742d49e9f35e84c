// SPDX-License-Identifier: Apache-2.0
import type { Kube, KubeObject, Resource, Selector, Watch, WatchHandler } from '#kube/port.ts'
import { endpointSlices } from '#kube/reflect/endpoint-slice.ts'
import { type Node, nodes } from '#kube/reflect/node.ts'
import { services } from '#kube/reflect/service.ts'
import type { Logger } from '#lib/log.ts'
import type { Unreadable } from '#policyd/unreadable.ts'
import { keyOf, type ServiceTables } from '#state/service-tables.ts'

/** Not what kube-proxy leaves alone too: other proxies' Services, and those without an address. */
const ours: Selector = { labelSelector: '!service.kubernetes.io/service-proxy-name,!service.kubernetes.io/headless' }

export interface ClusterEars {
  readonly tables: ServiceTables
  /** The node of this process; undefined when it is gone. */
  node(node: Node | undefined): void
  /** Something may be another than before. */
  changed(): void
  /** Keeps those of a kind that cannot be read. */
  unreadable(resource: Resource<KubeObject>): Unreadable
  readonly log: Logger
}

interface Ears<T> extends Pick<WatchHandler<T>, 'applied' | 'deleted'> {
  /** `kept`: the keys of those that are there and cannot be read. */
  replaced(items: readonly T[], kept: ReadonlySet<string>): void
}

/** Fills the tables from the API server until the watches are stopped. While it is away they keep what they have, and so they do of what cannot be read. */
export function watchCluster(
  kube: Pick<Kube, 'watch'>,
  nodeName: string,
  { tables, node, changed, unreadable, log }: ClusterEars,
): readonly Watch[] {
  const follow = <T extends KubeObject>(resource: Resource<T>, selector: Selector, on: Ears<T>) => {
    const unread = unreadable(resource)
    return kube.watch(resource, selector, {
      replaced: items => {
        on.replaced(items, unread.listed())
        changed()
      },
      applied: item => {
        unread.delete(keyOf(item.metadata))
        on.applied(item)
        changed()
      },
      deleted: item => {
        unread.delete(keyOf(item.metadata))
        on.deleted(item)
        changed()
      },
      unreadable: (name, namespace, reason) => unread.add(name, namespace, reason),
      interrupted: err => log.warn({ err, watch: resource.plural }, 'watch interrupted'),
    })
  }
  return [
    follow(services, ours, {
      replaced: (items, kept) => tables.replaceServices(items, kept),
      applied: s => tables.applyService(s),
      deleted: s => tables.deleteService(s),
    }),
    follow(endpointSlices, ours, {
      replaced: (items, kept) => tables.replaceSlices(items, kept),
      applied: s => tables.applySlice(s),
      deleted: s => tables.deleteSlice(s),
    }),
    follow<Node>(
      nodes,
      { fieldSelector: `metadata.name=${nodeName}` },
      {
        replaced: ([only], kept) => {
          if (only !== undefined || kept.size === 0) node(only)
        },
        applied: node,
        deleted: () => node(undefined),
      },
    ),
  ]
}
