// SPDX-License-Identifier: Apache-2.0
import type { Attachment, IfName, NetnsPath } from '#datapath/attachment.ts'
import type { KernelOp } from '#kernel/op.ts'
import type { Cidr } from '#net/cidr.ts'
import type { Ip } from '#net/ip.ts'
import type { Mac } from '#net/mac.ts'

/**
 * `eni-absent`: the node has no device with the ENI's MAC (yet). `pod-interface-taken`: the pod has a foreign interface of
 * the wanted name. Kernel errors pass as they are: `kernel-refused`, `netns-gone`, `kernel-worker`.
 */
export type DatapathCode = 'eni-absent' | 'pod-interface-taken'

/** What the kernel looked like after `setup` did its work. */
export interface SetupResult {
  readonly hostMac: Mac
  readonly podMac: Mac
  readonly ops: readonly KernelOp[]
}

/** The host end of a pod. */
export interface HostLink {
  readonly name: IfName
  readonly index: number
  readonly up: boolean
  readonly mtu: number
  /** The container id that it was made for, when it says so: then this plugin made it. */
  readonly owner?: string
  /** Where the other end is, when it is in one of the namespaces that were asked about. */
  readonly netns?: NetnsPath
}

/** Host-side objects with our markers, for resync: what a predecessor may have left. */
export interface Inventory {
  /** Host ends of pods: links whose name is `cali` + 11 hex. */
  readonly hostLinks: readonly HostLink[]
  /** Policy rules of priority 512 (`to`) and 2048 (`from`). */
  readonly rules: readonly { readonly priority: 512 | 2048; readonly ip: Ip; readonly table: number }[]
  /** /32 and /128 routes in the main table over a cali link. */
  readonly routes: readonly { readonly ip: Ip; readonly dev: IfName }[]
  /** ENIs in the namespaces that were asked about, when there are any. Their alias says that they are ours: whoever removes one has to know its MAC. */
  readonly enis?: readonly PodEni[]
}

/** An ENI's device in a pod's namespace. */
export interface PodEni {
  readonly netns: NetnsPath
  readonly dev: IfName
  readonly mac: Mac
  readonly mtu: number
  /** The container id that it was moved for. */
  readonly owner: string
  /** What it will be called on the host. */
  readonly home: IfName
}

/** Services that the programs translate, of the node. */
export interface NodeServices {
  /** Ports that answers of backends elsewhere come to: no socket of the node gets one of them by itself. */
  readonly natPortFirst: number
  readonly natPortLast: number
}

/** What programs need of the node's configuration. */
interface ProgramSettings {
  /** Destinations that belong to the host stack, beside link-local ones, multicast and the node's own addresses: `host_stack_cidrs`. */
  readonly hostStackCidrs: readonly Cidr[]
  /** Of Services. Without `services` the host stack translates them. */
  readonly serviceCidrs: readonly Cidr[]
  /** For a minute after the switch of a node with pods, flows that the host stack may be translating stay with it. */
  readonly learn: boolean
  /** Entries of the table of flows. A table of another size is made anew, and what goes on goes on. */
  readonly flowEntries?: number
  /** How many flows a pod may have; absent: as many as there is room for. */
  readonly flowLimit?: number
}

/**
 * How the node forwards: by the host stack alone (`veth`); by the host stack, with Services translated by programs (`services`); or by programs past it
 * (`v2`). It is the node's, never an attachment's: a node that changes is `setNode` and a repair of its pods.
 */
export type NodeDatapath =
  | { readonly kind: 'veth' }
  | (ProgramSettings & { readonly kind: 'services'; readonly services: NodeServices })
  | (ProgramSettings & { readonly kind: 'v2'; readonly services?: NodeServices })
/** A node that has programs. */
export type Programs = Exclude<NodeDatapath, { kind: 'veth' }>

/**
 * The engine between attachments and the kernel. Each call is idempotent, compares what is wanted with what is there and
 * changes only the difference. All netlink happens on a worker thread: no call blocks the caller's event loop.
 */
export interface Datapath {
  /**
   * Loads what this kind of forwarding needs, or ends what another kind left; `setup` and `diff` of every pod go by it from then on. `held` are
   * the pods that are there: all of them are made ready before the first packet goes another way, since a packet to one that is not would leave
   * the node. A node that forwards so already stays untouched. Before the first call the node forwards by `veth`. Fails with `kernel-refused`; the
   * node's kind stays what it was then. A node that somebody else switched off (the mode forwards no more) stays so until the next call.
   */
  setNode(node: NodeDatapath, held: readonly Attachment[]): Promise<void>
  /**
   * Makes the pod's network as the attachment says, its ENI's device (found by MAC, never by kind, ignoring cali*) included; a
   * second call with the same value does nothing. Fails with `eni-absent` while the device is not on the node.
   */
  setup(a: Attachment): Promise<SetupResult>
  /** The operations that `setup` would perform now; empty = CHECK passes. */
  diff(a: Attachment): Promise<readonly KernelOp[]>
  /**
   * Those of many for which `setup` would do something or fail, found with few looks at the kernel. One whose namespace is gone
   * is not among them. What is the node's and no pod's (its own addresses in the host set, the mode) is put right on the way.
   */
  differing(all: readonly Attachment[]): Promise<readonly Attachment[]>
  /**
   * Withdraws rules and host routes, so that the address is unroutable at once; the devices stay for `reap`. Takes under a millisecond of kernel time. An ENI
   * that the pod has for itself comes back to the host, since the pod's namespace ends soon, which takes 10–20.
   */
  withdraw(a: Attachment): Promise<void>
  /** Deletes host links in batches and answers which are proven gone. */
  reap(links: readonly IfName[]): Promise<{ readonly gone: readonly IfName[]; readonly remaining: readonly IfName[] }>
  /** `among`: namespaces in which the other ends of the host links, and ENIs, are looked for; each costs an open file for a moment. */
  inventory(among?: readonly NetnsPath[]): Promise<Inventory>
  /** Deletes leftovers found by `inventory` that no live attachment accounts for, and takes ENIs back to the host. */
  removeLeftovers(left: Inventory): Promise<readonly KernelOp[]>
  /**
   * Calls back when a link, address, route or rule of ours may have changed (rtnetlink notification), with the host ends of the pods
   * that it happened to, as far as it tells: at once after a quiet time, else gathered. Returns the unsubscriber.
   */
  onChange(callback: (named: readonly IfName[]) => void): () => void
  close(): Promise<void>
}
