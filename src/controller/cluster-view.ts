// SPDX-License-Identifier: Apache-2.0
import { offeredEnis } from '#controller/node/capacity.ts'
import { type NodeCr, nodeCrs } from '#kube/crd/node.ts'
import { type NodeRuntime, nodeRuntimes } from '#kube/crd/node-runtime.ts'
import type { Kube, KubeObject, WatchHandler } from '#kube/port.ts'
import { type Node, nodes } from '#kube/reflect/node.ts'
import { type Pod, pods } from '#kube/reflect/pod.ts'
import { diffMerge } from '#lib/merge-patch.ts'

/** What the watches say of the cluster, by node name. */
export interface ClusterView {
  readonly synced: Promise<void>
  node(name: string): Node | undefined
  nodeCr(name: string): NodeCr | undefined
  runtime(name: string): NodeRuntime | undefined
  podsOn(node: string): readonly Pod[]
  /** Every name that is a Kubernetes node or a Node CR. */
  names(): readonly string[]
  stop(): void
}

/** An object that cannot be read, about the node of that name (a pod's is not known): what was known of it before stays in force. */
export type Complaint = (object: string, node: string | undefined, reason: unknown) => void

/** Watches nodes, pods and both CRs; `changed` is called with the name of a node whose work may have changed. */
export function watchCluster(kube: Kube, changed: (node: string) => void, complain: Complaint): ClusterView {
  const k8sNodes = new Map<string, Node>()
  const crs = new Map<string, NodeCr>()
  const runtimes = new Map<string, NodeRuntime>()
  const podIndex = new PodIndex(changed, complain)
  const watches = [
    kube.watch(nodes, {}, mapHandler(k8sNodes, changed, sameNode, complain)),
    kube.watch(nodeCrs, {}, mapHandler(crs, changed, sameButStatus, complain)),
    kube.watch(
      nodeRuntimes,
      {},
      mapHandler(runtimes, changed, () => false, complain),
    ),
    kube.watch(pods, {}, podIndex),
  ]
  return {
    synced: Promise.all(watches.map(w => w.synced)).then(() => undefined),
    node: name => k8sNodes.get(name),
    nodeCr: name => crs.get(name),
    runtime: name => runtimes.get(name),
    podsOn: node => podIndex.on(node),
    names: () => [...new Set([...k8sNodes.keys(), ...crs.keys()])],
    stop: () => {
      for (const w of watches) w.stop()
    },
  }
}

/** Heartbeats of the kubelet change nothing for us; that it forgot which ENIs the node offers does. */
function sameNode(a: Node, b: Node): boolean {
  const essence = (n: Node) => ({
    labels: n.metadata.labels,
    annotations: n.metadata.annotations,
    spec: n.spec,
    uid: n.metadata.uid,
    leaving: n.metadata.deletionTimestamp,
    offered: offeredEnis(n),
  })
  return diffMerge(essence(a), essence(b)) === undefined
}

/** Status is written by this controller alone: its own echo needs no round. */
function sameButStatus(a: NodeCr, b: NodeCr): boolean {
  const essence = (n: NodeCr) => ({
    annotations: n.metadata.annotations,
    spec: n.spec,
    uid: n.metadata.uid,
    leaving: n.metadata.deletionTimestamp,
  })
  return diffMerge(essence(a), essence(b)) === undefined
}

function mapHandler<T extends KubeObject>(
  map: Map<string, T>,
  changed: (name: string) => void,
  same: (a: T, b: T) => boolean,
  complain: Complaint,
): WatchHandler<T> {
  /** Since the last list. */
  const unreadable = new Set<string>()
  const applied = (item: T) => {
    const before = map.get(item.metadata.name)
    map.set(item.metadata.name, item)
    if (before === undefined || !same(before, item)) changed(item.metadata.name)
  }
  return {
    replaced: items => {
      const present = new Set([...items.map(i => i.metadata.name), ...unreadable])
      unreadable.clear()
      for (const name of [...map.keys()].filter(name => !present.has(name))) {
        map.delete(name)
        changed(name)
      }
      for (const item of items) applied(item)
    },
    applied,
    deleted: item => {
      map.delete(item.metadata.name)
      changed(item.metadata.name)
    },
    unreadable: (name, _, reason) => {
      unreadable.add(name)
      complain(name, name, reason)
    },
  }
}

/** Pods by node, kept by UID: a new pod of the same name is another pod. */
class PodIndex implements WatchHandler<Pod> {
  readonly #byNode = new Map<string, Map<string, Pod>>()
  readonly #nodeOf = new Map<string, string>()
  readonly #unreadable = new Set<string>()
  readonly #changed: (node: string) => void
  readonly #complain: Complaint

  constructor(changed: (node: string) => void, complain: Complaint) {
    this.#changed = changed
    this.#complain = complain
  }

  on(node: string): readonly Pod[] {
    return [...(this.#byNode.get(node)?.values() ?? [])]
  }

  replaced(items: readonly Pod[]): void {
    const present = new Set(items.map(keyOf))
    const gone = ([key, node]: readonly [string, string]) => !present.has(key) && !this.#isUnreadable(key, node)
    for (const [key] of [...this.#nodeOf].filter(gone)) this.#drop(key)
    this.#unreadable.clear()
    for (const item of items) this.applied(item)
  }

  applied(pod: Pod): void {
    const node = pod.spec.nodeName
    if (node === undefined || node === '') return
    const key = keyOf(pod)
    let onNode = this.#byNode.get(node)
    if (onNode === undefined) {
      onNode = new Map()
      this.#byNode.set(node, onNode)
    }
    onNode.set(key, pod)
    this.#nodeOf.set(key, node)
    this.#changed(node)
  }

  deleted(pod: Pod): void {
    this.#drop(keyOf(pod))
  }

  unreadable(name: string, namespace: string | undefined, reason: unknown): void {
    this.#unreadable.add(`${namespace}/${name}`)
    this.#complain(`${namespace}/${name}`, undefined, reason)
  }

  #isUnreadable(key: string, node: string): boolean {
    const pod = this.#byNode.get(node)?.get(key)
    return pod !== undefined && this.#unreadable.has(`${pod.metadata.namespace}/${pod.metadata.name}`)
  }

  #drop(key: string): void {
    const node = this.#nodeOf.get(key)
    if (node === undefined) return
    this.#nodeOf.delete(key)
    this.#byNode.get(node)?.delete(key)
    this.#changed(node)
  }
}

function keyOf(pod: Pod): string {
  return pod.metadata.uid ?? `${pod.metadata.namespace}/${pod.metadata.name}`
}
