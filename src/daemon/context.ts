// SPDX-License-Identifier: Apache-2.0

import { hostStackOf } from '#config/conflist.ts'
import type { DatapathKind } from '#config/datapath-switch.ts'
import type { EniConf } from '#config/eni-conf.ts'
import type { PluginSettings } from '#config/plugin.ts'
import { mistakeIn } from '#config/service-cidr.ts'
import type { HostSide } from '#daemon/attach.ts'
import type { Cluster } from '#daemon/cluster.ts'
import { ownAddresses } from '#daemon/datapath-inputs.ts'
import type { Deps, Options } from '#daemon/deps.ts'
import type { KnownMode } from '#daemon/pod.ts'
import type { Pods } from '#daemon/pods.ts'
import type { Reaper } from '#daemon/reaper.ts'
import type { Limit, Serial } from '#daemon/serial.ts'
import type { Signal } from '#daemon/signal.ts'
import type { WaitList } from '#daemon/wait.ts'
import { type Book, podIdOf } from '#ipam/book.ts'
import { type PoolView, poolView } from '#ipam/node-pool.ts'
import { type Binding, bindingOf } from '#ipam/release.ts'
import { type Stack, stackOf } from '#net/stack.ts'

/** The parts of a running daemon, as the verbs see them. */
export interface Context extends Deps {
  readonly options: Options
  /** Aborted when the daemon stops: ends every wait. */
  readonly stopping: AbortSignal
  readonly book: Book
  readonly cluster: Cluster
  readonly pods: Pods
  readonly waits: WaitList
  readonly reaper: Reaper
  /** Fires when an address may have become usable: Node.status, pods or the ledger changed. */
  readonly poolChanged: Signal
  /** One ADD at a time for each pod (namespace/name). It may wait, so nothing else waits for it: that could be what it waits for. */
  readonly perPod: Serial
  /** One change at a time for each sandbox (container id): its ADD, its repair, its end. Taken after perPod. */
  readonly perSandbox: Serial
  /** Kernel work of ADDs at the same time. */
  readonly kernelSlots: Limit
  /** What the daemon has found out about the cluster and itself. */
  readonly facts: Facts
}

export interface Facts {
  /** The last good configuration. */
  conf: EniConf | undefined
  /** What the terway plugin of the last good CNI list says. */
  plugin: PluginSettings | undefined
  /** Kept while a process lives: `unknown` until the node's record has been seen and nothing speaks against it. */
  eniMode: KnownMode
  /** How the node forwards; undefined until it has been chosen. */
  datapath: { readonly kind: DatapathKind; readonly why: string; readonly hasPrograms: boolean } | undefined
  readBack: 'pending' | 'kept' | 'pruned'
  /** Whether what a predecessor left in the kernel has been sorted: before that, an address that looks idle may be in use. */
  adopted: boolean
  /** Why CNI is not served; empty when it is. */
  notReady: string
  /** For state and the debug socket. */
  readonly trace: Map<string, string>
}

export function currentPool(ctx: Context): PoolView {
  return poolView({
    node: ctx.cluster.node,
    book: ctx.book,
    now: ctx.clock.wall(),
    coolingFloor: ctx.options.coolingFloor,
    liveWithoutLease: liveWithoutLease(ctx),
  })
}

/** The configuration's: the Node CR follows it a moment later, and a pod must not get less than is asked for. */
export function currentStack(ctx: Context): Stack {
  return ctx.facts.conf?.ipStack ?? stackOf(ctx.cluster.node?.spec.eni)
}

interface Seen {
  readonly facts: Facts
  readonly cluster: Pick<Cluster, 'k8sNode' | 'node'>
}

/** Of the pods to come: what they have besides an ENI of their own; undefined where they share ENIs. */
export function currentHostSide({ facts, cluster }: Seen): HostSide | undefined {
  const { conf, plugin, eniMode } = facts
  if (eniMode !== 'exclusive') return undefined
  const own = ownAddresses(cluster)
  const named = [conf?.serviceCidr4, conf?.serviceCidr6].filter(c => c !== undefined)
  // What a pod sends to others would go by its node, and no further.
  const services = named.filter(c => mistakeIn(c, own) === undefined)
  return { hostRoutes: [...services, ...hostStackOf(plugin)], hostPeer: plugin?.disableHostPeer !== true }
}

/** Tells whether a pod of this node lives while no lease is its own: it may use the address that Node.status names it for. */
export function liveWithoutLease(ctx: Context): (podId: string, podUid: string | undefined) => boolean {
  return (id, uid) => ctx.pods.isLive(id, uid) && !ctx.book.leases().some(l => podIdOf(l) === id)
}

export function currentBinding(ctx: Context): Binding {
  return bindingOf({ node: ctx.cluster.node, leader: ctx.cluster.leader, readBack: ctx.facts.readBack })
}
