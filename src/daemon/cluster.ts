// SPDX-License-Identifier: Apache-2.0
import { Signal } from '#daemon/signal.ts'
import { type NodeCr, nodeCrs } from '#kube/crd/node.ts'
import { type NodeRuntime, nodeRuntimes } from '#kube/crd/node-runtime.ts'
import type { Kube, KubeObject, Resource, Selector, Watch } from '#kube/port.ts'
import { type Lease, leases } from '#kube/reflect/lease.ts'
import { type Node, nodes } from '#kube/reflect/node.ts'
import type { Clock } from '#lib/clock.ts'
import type { Logger } from '#lib/log.ts'

/** The leader-election Lease of the controller, Terway's or ours. */
const leaderLease = 'terway-controlplane'

/** The last state seen of each single object that the daemon follows. What a watch lost stays as it was. */
export class Cluster {
  readonly changed = new Signal()
  node: NodeCr | undefined
  runtime: NodeRuntime | undefined
  leader: string | undefined
  /** The core Node: labels and UID. */
  k8sNode: Node | undefined
  /** Wall-clock milliseconds of the last event of each watch. */
  readonly lastEvent = new Map<string, number>()
  readonly #watches: Watch[] = []
  readonly #clock: Clock
  readonly #log: Logger

  constructor(deps: { readonly clock: Clock; readonly log: Logger }) {
    this.#clock = deps.clock
    this.#log = deps.log
  }

  /** Starts the watches; resolves when each has listed once. They go on until `stop`. */
  async start(kube: Kube, nodeName: string, namespace: string): Promise<void> {
    await Promise.all([
      this.follow<NodeCr>(kube, nodeCrs, { fieldSelector: `metadata.name=${nodeName}` }, o => {
        this.node = o
      }),
      this.follow<NodeRuntime>(kube, nodeRuntimes, { fieldSelector: `metadata.name=${nodeName}` }, o => {
        this.runtime = o
      }),
      this.follow<Node>(kube, nodes, { fieldSelector: `metadata.name=${nodeName}` }, o => {
        this.k8sNode = o
      }),
      this.follow<Lease>(kube, leases, { namespace, fieldSelector: `metadata.name=${leaderLease}` }, o => {
        this.leader = o?.spec?.holderIdentity
      }),
    ])
  }

  /** Watches one object by name; `set` gets undefined when it does not exist. Resolves after the first list. */
  follow<T extends KubeObject>(kube: Kube, r: Resource<T>, s: Selector, set: (object: T | undefined) => void): Promise<void> {
    const heard = (object: T | undefined) => {
      set(object)
      this.lastEvent.set(r.plural, this.#clock.wall())
      this.changed.fire()
    }
    const watch = kube.watch<T>(r, s, {
      replaced: items => heard(items[0]),
      applied: heard,
      deleted: () => heard(undefined),
      interrupted: err => this.#log.warn({ err, watch: r.plural }, 'watch interrupted'),
    })
    this.#watches.push(watch)
    return watch.synced
  }

  stop(): void {
    for (const watch of this.#watches) watch.stop()
  }
}
