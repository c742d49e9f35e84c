// SPDX-License-Identifier: Apache-2.0
import { Signal } from '#daemon/signal.ts'
import { type NodeCr, nodeCrs } from '#kube/crd/node.ts'
import { type NodeRuntime, nodeRuntimes } from '#kube/crd/node-runtime.ts'
import type { Kube, KubeObject, Resource, Selector, Watch } from '#kube/port.ts'
import { type Lease, leases } from '#kube/reflect/lease.ts'
import { instanceIdOf, type Node, nodes } from '#kube/reflect/node.ts'
import type { Clock } from '#lib/clock.ts'
import type { Logger } from '#lib/log.ts'

/** The leader-election Lease of the controller, Terway's or ours. */
const leaderLease = 'terway-controlplane'

/** The last state seen of each single object that the daemon follows. What a watch lost stays as it was. */
export class Cluster {
  readonly changed = new Signal()
  #nodeCr: NodeCr | undefined
  runtime: NodeRuntime | undefined
  #runtimeEvents = 0
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

  /** The Node CR of this machine. One that names another instance is left over from a machine of the same name: its addresses are not here. */
  get node(): NodeCr | undefined {
    const instance = this.k8sNode === undefined ? undefined : instanceIdOf(this.k8sNode)
    const recorded = this.#nodeCr?.spec.nodeMetadata?.instanceID
    return instance !== undefined && recorded !== undefined && recorded !== instance ? undefined : this.#nodeCr
  }

  /** Starts the watches; resolves when each has listed once. They go on until `stop`. */
  async start(kube: Kube, nodeName: string, namespace: string): Promise<void> {
    const watches = [
      this.follow<NodeCr>(kube, nodeCrs, { fieldSelector: `metadata.name=${nodeName}` }, o => {
        this.#nodeCr = o
      }),
      this.follow<NodeRuntime>(kube, nodeRuntimes, { fieldSelector: `metadata.name=${nodeName}` }, o => {
        this.runtime = o
        this.#runtimeEvents++
      }),
      this.follow<Node>(kube, nodes, { fieldSelector: `metadata.name=${nodeName}` }, o => {
        this.k8sNode = o
      }),
      this.follow<Lease>(kube, leases, { namespace, fieldSelector: `metadata.name=${leaderLease}` }, o => {
        this.leader = o?.spec?.holderIdentity
      }),
    ]
    await Promise.all(watches.map(watch => watch.synced))
  }

  /**
   * Takes what a write answered as the present NodeRuntime, unless the watch told something while the write was under way:
   * which of the two is newer cannot be known, and the watch will tell the rest (a deletion would be forgotten otherwise).
   */
  async wrote(write: () => Promise<NodeRuntime>): Promise<NodeRuntime> {
    const before = this.#runtimeEvents
    const written = await write()
    if (this.#runtimeEvents === before) this.runtime = written
    return written
  }

  /** Watches one object by name, until it or the whole is stopped; `set` gets undefined when the object does not exist. */
  follow<T extends KubeObject>(kube: Kube, r: Resource<T>, s: Selector, set: (object: T | undefined) => void): Watch {
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
    return watch
  }

  stop(): void {
    for (const watch of this.#watches) watch.stop()
  }
}
