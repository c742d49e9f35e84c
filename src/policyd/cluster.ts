// SPDX-License-Identifier: Apache-2.0
import type { Kube, KubeObject, Resource, Selector, Watch, WatchHandler } from '#kube/port.ts'
import { endpointSlices } from '#kube/reflect/endpoint-slice.ts'
import { type Node, nodes } from '#kube/reflect/node.ts'
import { services } from '#kube/reflect/service.ts'
import type { Logger } from '#lib/log.ts'
import type { ServiceTables } from '#state/service-tables.ts'

/** Not what kube-proxy leaves alone too: other proxies' Services, and those without an address. */
const ours: Selector = { labelSelector: '!service.kubernetes.io/service-proxy-name,!service.kubernetes.io/headless' }

export interface ClusterEars {
  readonly tables: ServiceTables
  /** The node of this process; undefined when it is gone. */
  node(node: Node | undefined): void
  /** Something may be another than before. */
  changed(): void
  readonly log: Logger
}

/** Fills the tables from the API server until the watches are stopped. While it is away they keep what they have. */
export function watchCluster(kube: Pick<Kube, 'watch'>, nodeName: string, { tables, node, changed, log }: ClusterEars): readonly Watch[] {
  const follow = <T extends KubeObject>(
    resource: Resource<T>,
    selector: Selector,
    on: Pick<WatchHandler<T>, 'replaced' | 'applied' | 'deleted'>,
  ) => {
    const told =
      <V>(hear: (value: V) => void) =>
      (value: V) => {
        hear(value)
        changed()
      }
    return kube.watch(resource, selector, {
      replaced: told(on.replaced),
      applied: told(on.applied),
      deleted: told(on.deleted),
      interrupted: err => log.warn({ err, watch: resource.plural }, 'watch interrupted'),
    })
  }
  return [
    follow(services, ours, {
      replaced: items => tables.replaceServices(items),
      applied: s => tables.applyService(s),
      deleted: s => tables.deleteService(s),
    }),
    follow(endpointSlices, ours, {
      replaced: items => tables.replaceSlices(items),
      applied: s => tables.applySlice(s),
      deleted: s => tables.deleteSlice(s),
    }),
    follow<Node>(
      nodes,
      { fieldSelector: `metadata.name=${nodeName}` },
      { replaced: ([only]) => node(only), applied: node, deleted: () => node(undefined) },
    ),
  ]
}
