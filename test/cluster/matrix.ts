// SPDX-License-Identifier: Apache-2.0
import type { dropReasons, path } from '../../src/kernel/bpf/words.ts'

/**
 * Who asks whom, which way it goes, and with which address it arrives. node1 and node2 forward by DataPath V2, node3 as a regular node; each has
 * a pod that answers, with Services of its own and a port of its node. Here are the rows of a cluster with kube-proxy; matrix-services.ts has those
 * of one without, and matrix-exclusive.ts of one where node2 gives each pod an ENI.
 */
export type Node = 'node1' | 'node2' | 'node3'
/** Where packets are counted: on a way, or dropped. */
export type Counted = keyof typeof path | keyof typeof dropReasons

export const sources = {
  'V2 pod': 'node1',
  'regular pod': 'node3',
  'V2 host': 'node1',
  'regular host': 'node3',
  outside: undefined,
} as const satisfies Readonly<Record<string, Node | undefined>>
/** Where node2 gives each pod an ENI. */
export const exclusiveSources = { 'exclusive pod': 'node2', 'exclusive host': 'node2' } as const satisfies Readonly<Record<string, Node>>
export type Source = keyof typeof sources | keyof typeof exclusiveSources
/** Undefined outside. */
export const nodeOf = (source: Source): Node | undefined => ({ ...sources, ...exclusiveSources })[source]
export const doors = ['pod', 'ClusterIP', 'NodePort', 'LoadBalancer', 'externalIP', 'hostPort'] as const
export type Door = (typeof doors)[number]

export type Paths = { readonly [N in Node]?: readonly Counted[] }
export interface Row {
  readonly from: Source
  readonly to: Door
  /** Whose address is asked: the node's of a NodePort, an externalIP or a hostPort. */
  readonly door: Node
  /** The traffic policy of the Service that is asked, internal or external: of backends everywhere, or of the own node. */
  readonly policy: 'Cluster' | 'Local'
  /** Where the pod is that answers. */
  readonly backend: Node | 'itself'
  /**
   * Whose address the pod that answers sees; `portmap`: the door's for a client in the pod's own subnet, else the source's; `asked`: the one that was
   * asked; `any node`: the source's when the balancer chose the backend's node, else that of the node that it chose; `a node`: that of the node that it
   * chose, whichever it is; `nobody`: there is no answer.
   */
  readonly seen: 'source' | 'portmap' | 'asked' | 'any node' | 'a node' | 'nobody' | Node
  /** The paths that packets take through the programs of the nodes: these, all of them, and no others. */
  readonly paths: Paths | 'by chance'
  /** Families that are not asked, and why. */
  readonly without?: { readonly family: 4 | 6; readonly why: string }
}

export const direct: readonly Counted[] = ['podToRemote', 'remoteToPod']
/** The host stack delivers to a pod, and carries its answers. */
export const served: readonly Counted[] = ['hostToPod', 'podViaHost']
/** A pod asks by way of the host stack. */
const byHost: readonly Counted[] = ['podToHost', 'podViaHost', 'hostToPod']
export const row = (from: Source, to: Door, door: Node, backend: Row['backend'], seen: Row['seen'], paths: Row['paths'] = {}): Row => ({
  ...{ from, to, door, policy: 'Cluster', backend, seen, paths },
})

export const rows: readonly Row[] = [
  row('V2 pod', 'pod', 'node1', 'node1', 'source', { node1: ['podToPod'] }),
  row('V2 pod', 'pod', 'node2', 'node2', 'source', { node1: direct, node2: direct }),
  row('V2 pod', 'pod', 'node3', 'node3', 'source', { node1: direct }),
  row('V2 pod', 'ClusterIP', 'node1', 'itself', 'node1', { node1: byHost }),
  row('V2 pod', 'ClusterIP', 'node1', 'node1', 'source', { node1: byHost }),
  row('V2 pod', 'ClusterIP', 'node1', 'node2', 'source', { node1: [...byHost, 'remoteViaHost'], node2: direct }),
  row('V2 pod', 'ClusterIP', 'node1', 'node3', 'source', { node1: [...byHost, 'remoteViaHost'] }),
  row('V2 pod', 'NodePort', 'node1', 'node1', 'node1', { node1: byHost }),
  row('V2 pod', 'NodePort', 'node1', 'node2', 'node1', { node1: byHost, node2: direct }),
  row('V2 pod', 'NodePort', 'node1', 'node3', 'node1', { node1: byHost }),
  row('V2 pod', 'NodePort', 'node2', 'node2', 'node2', { node1: direct, node2: served }),
  row('V2 pod', 'NodePort', 'node3', 'node3', 'node3', { node1: direct }),
  row('V2 pod', 'hostPort', 'node1', 'node1', 'portmap', { node1: byHost }),
  row('V2 pod', 'hostPort', 'node2', 'node2', 'portmap', { node1: direct, node2: served }),
  row('V2 pod', 'hostPort', 'node3', 'node3', 'portmap', { node1: direct }),

  row('regular pod', 'pod', 'node3', 'node3', 'source'),
  row('regular pod', 'pod', 'node1', 'node1', 'source', { node1: direct }),
  row('regular pod', 'ClusterIP', 'node3', 'itself', 'node3'),
  row('regular pod', 'ClusterIP', 'node3', 'node3', 'source'),
  row('regular pod', 'ClusterIP', 'node3', 'node1', 'source', { node1: direct }),
  row('regular pod', 'NodePort', 'node3', 'node3', 'node3'),
  row('regular pod', 'NodePort', 'node3', 'node1', 'node3', { node1: direct }),
  row('regular pod', 'NodePort', 'node1', 'node1', 'node1', { node1: served }),
  row('regular pod', 'hostPort', 'node3', 'node3', 'portmap'),
  row('regular pod', 'hostPort', 'node1', 'node1', 'portmap', { node1: served }),

  row('V2 host', 'pod', 'node1', 'node1', 'source', { node1: served }),
  row('V2 host', 'pod', 'node2', 'node2', 'source', { node2: direct }),
  row('V2 host', 'pod', 'node3', 'node3', 'source'),
  row('V2 host', 'ClusterIP', 'node1', 'node1', 'source', { node1: served }),
  row('V2 host', 'ClusterIP', 'node1', 'node2', 'source', { node2: direct }),
  row('V2 host', 'ClusterIP', 'node1', 'node3', 'source'),
  row('V2 host', 'NodePort', 'node1', 'node1', 'source', { node1: served }),
  row('V2 host', 'NodePort', 'node1', 'node2', 'source', { node2: direct }),
  row('V2 host', 'NodePort', 'node2', 'node2', 'node2', { node2: served }),
  row('V2 host', 'hostPort', 'node1', 'node1', 'portmap', { node1: served }),
  row('V2 host', 'hostPort', 'node2', 'node2', 'portmap', { node2: served }),
  row('V2 host', 'hostPort', 'node3', 'node3', 'portmap'),

  row('regular host', 'pod', 'node3', 'node3', 'source'),
  row('regular host', 'pod', 'node1', 'node1', 'source', { node1: direct }),
  row('regular host', 'ClusterIP', 'node3', 'node3', 'source'),
  row('regular host', 'ClusterIP', 'node3', 'node1', 'source', { node1: direct }),
  row('regular host', 'NodePort', 'node3', 'node3', 'source'),
  row('regular host', 'NodePort', 'node3', 'node1', 'source', { node1: direct }),
  row('regular host', 'NodePort', 'node1', 'node1', 'node1', { node1: served }),
  row('regular host', 'hostPort', 'node3', 'node3', 'portmap'),
  row('regular host', 'hostPort', 'node1', 'node1', 'portmap', { node1: served }),

  ...(['node1', 'node3'] as const).map(node => ({
    ...row('outside', 'pod', node, node, 'source', { ...(node === 'node1' && { node1: direct }) }),
    without: { family: 4, why: 'a pod has no public IPv4 address' } as const,
  })),
  row('outside', 'NodePort', 'node1', 'node1', 'node1', { node1: served }),
  row('outside', 'NodePort', 'node1', 'node2', 'node1', { node2: direct }),
  row('outside', 'NodePort', 'node3', 'node1', 'node3', { node1: direct }),
  row('outside', 'NodePort', 'node3', 'node3', 'node3'),
  row('outside', 'hostPort', 'node1', 'node1', 'portmap', { node1: served }),
  row('outside', 'hostPort', 'node3', 'node3', 'portmap'),
]

/** Combinations of who and what that have no row, and why; a test holds that there are no others. */
export interface Without {
  /** Absent: no source. */
  readonly from?: Source
  readonly to: Door
  /** Absent: with either policy. */
  readonly policy?: Row['policy']
  readonly why: string
}
export const notOutside: Without = { from: 'outside', to: 'ClusterIP', why: 'a ClusterIP is an address inside the cluster' }
export const without: readonly Without[] = [
  notOutside,
  ...(['LoadBalancer', 'externalIP'] as const).map(to => ({ to, why: 'kube-proxy translates it as it does a NodePort' })),
  ...doors.map(to => ({ to, policy: 'Local' as const, why: "kube-proxy's own affair; without kube-proxy there are rows of it" })),
]

/** What no table has a row of, and why. */
export const notAsked: readonly { readonly what: string; readonly why: string }[] = [
  {
    what: 'SCTP',
    why: 'a kernel may lack it; programs translate it by address alone, and packets through each program show that (test/packet)',
  },
  { what: 'ICMP', why: 'no Service has it; its errors go through each program in test/packet, and on real ways in test/kernel' },
  { what: 'outside → pod, hostPort: pod on another node', why: 'who is outside has no node, and a hostPort is of the node of its pod' },
]

/** `same node`, `other node` and `itself` of a row: as seen from the source, or from outside by the node that is asked. */
export function relationOf({ from, door, backend }: Row): string {
  if (backend === 'itself') return backend
  return backend === (nodeOf(from) ?? door) ? 'same node' : 'other node'
}

/** Rows that are asked at once: by the same paths, so that the counters tell of any packet that took another one. */
export function batches(of: readonly Row[]): readonly (readonly Row[])[] {
  const key = ({ paths }: Row) =>
    paths === 'by chance'
      ? paths
      : JSON.stringify(
          Object.entries(paths)
            .map(([node, taken]) => [node, [...new Set(taken)].sort()])
            .sort(),
        )
  return [...Map.groupBy(of, key).values()]
}
