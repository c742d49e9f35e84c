// SPDX-License-Identifier: Apache-2.0
import {
  type Counted,
  type Door,
  direct,
  type Node,
  notOutside,
  type Paths,
  type Row,
  row,
  rows as rowsWithProxy,
  type Source,
  served,
  type Without,
} from './matrix.ts'

/*
 * The rows of a cluster without kube-proxy, where each node's programs translate Services: where the packet is sent, so that a pod or a node reaches a
 * backend as if it had asked it by its own address; or where it arrives, at the node that was asked.
 */

/** Doors that are translated where the packet is sent; of a NodePort the node's own. */
export const translated: readonly Door[] = ['ClusterIP', 'NodePort', 'LoadBalancer', 'externalIP']
export const policies = ['Cluster', 'Local'] as const
/** A regular node translates at the host end, and the host stack carries. */
const byRegular: readonly Counted[] = ['podViaHost', 'hostToPod']
/** A node with V2 puts it into the pod at once, a regular one leaves that to its host stack. */
const toPod = (node: Node): readonly Counted[] => ['nodeToPod', 'podAnswersClient', ...(node === 'node3' ? (['hostToPod'] as const) : [])]
export const toRemote: readonly Counted[] = ['nodeToRemote', 'remoteAnswersClient']
const refused: readonly Counted[] = ['service-without-backend']

/** From inside: `ways` are those to a backend on each node. Only of a ClusterIP does policy Local mean anything here. */
export function inside(from: Source, own: Node, ways: Readonly<Record<Node, Paths>>): readonly Row[] {
  return translated.flatMap(to =>
    policies.flatMap(policy =>
      (['node1', 'node2', 'node3'] as const).map(backend => {
        const nobody = to === 'ClusterIP' && policy === 'Local' && backend !== own
        return { ...row(from, to, own, backend, nobody ? 'nobody' : 'source', nobody ? { [own]: refused } : ways[backend]), policy }
      }),
    ),
  )
}

/** A pod before itself: it sees the Service's address, so that its answers come back to be translated. */
const itself = (from: Source, own: Node): readonly Row[] =>
  translated.map(to => row(from, to, own, 'itself', 'asked', { [own]: ['hairpin'] }))

/**
 * By a node that was asked: it keeps the client's address towards its own pods, and asks other nodes' with its own, and so its own pods where they have
 * an ENI each, by which they would answer anybody else.
 */
export function byNode(
  from: Source,
  to: 'NodePort' | 'externalIP',
  door: Node,
  backend: Node,
  around: Paths = {},
  exclusive?: Node,
): readonly Row[] {
  const [here, seen] = door === backend && door !== exclusive ? [toPod(door), 'source' as const] : [toRemote, door]
  const answering: Paths = door !== backend && backend !== 'node3' && backend !== exclusive ? { [backend]: direct } : {}
  const cluster = row(from, to, door, backend, seen, { ...around, ...answering, [door]: here })
  if (door === backend) return policies.map(policy => ({ ...cluster, policy }))
  const lost: Paths = Object.fromEntries(Object.keys(around).map(node => [node, ['podToRemote']]))
  return [cluster, { ...cluster, policy: 'Local', seen: 'nobody', paths: { ...lost, [door]: refused } }]
}

const pod = ([from, own]: readonly [Source, Node], ways: Readonly<Record<Node, Paths>>): readonly Row[] => [
  ...itself(from, own),
  ...inside(from, own, ways),
]

export const rows: readonly Row[] = [
  // Nothing of these is a Service.
  ...rowsWithProxy.filter(({ to }) => to === 'pod' || to === 'hostPort'),

  ...pod(['V2 pod', 'node1'], {
    node1: { node1: ['podToPod'] },
    node2: { node1: direct, node2: direct },
    node3: { node1: direct },
  }),
  ...byNode('V2 pod', 'NodePort', 'node2', 'node2', { node1: direct }),
  ...byNode('V2 pod', 'NodePort', 'node2', 'node1', { node1: direct }),
  ...byNode('V2 pod', 'NodePort', 'node3', 'node3', { node1: direct }),
  ...byNode('V2 pod', 'NodePort', 'node3', 'node2', { node1: direct }),

  ...pod(['regular pod', 'node3'], {
    node1: { node3: byRegular, node1: direct },
    node2: { node3: byRegular, node2: direct },
    node3: { node3: byRegular },
  }),
  ...byNode('regular pod', 'NodePort', 'node1', 'node1'),
  ...byNode('regular pod', 'NodePort', 'node1', 'node2'),
  ...byNode('regular pod', 'NodePort', 'node1', 'node3'),

  ...inside('V2 host', 'node1', { node1: { node1: served }, node2: { node2: direct }, node3: {} }),
  ...byNode('V2 host', 'NodePort', 'node2', 'node2'),
  ...byNode('V2 host', 'NodePort', 'node2', 'node1'),
  ...byNode('V2 host', 'NodePort', 'node3', 'node3'),

  ...inside('regular host', 'node3', { node1: { node1: direct }, node2: { node2: direct }, node3: {} }),
  ...byNode('regular host', 'NodePort', 'node1', 'node1'),
  ...byNode('regular host', 'NodePort', 'node1', 'node3'),

  ...(['NodePort', 'externalIP'] as const).flatMap(to => [
    ...byNode('outside', to, 'node1', 'node1'),
    ...byNode('outside', to, 'node1', 'node2'),
    ...byNode('outside', to, 'node1', 'node3'),
    ...byNode('outside', to, 'node3', 'node1'),
    ...byNode('outside', to, 'node3', 'node3'),
  ]),
  ...(['node1', 'node3'] as const).flatMap(backend => [
    row('outside', 'LoadBalancer', backend, backend, 'any node', 'by chance'),
    { ...row('outside', 'LoadBalancer', backend, backend, 'source', { [backend]: toPod(backend) }), policy: 'Local' as const },
  ]),
]

export const without: readonly Without[] = [
  notOutside,
  ...(['pod', 'hostPort'] as const).map(to => ({ to, policy: 'Local' as const, why: 'a policy is of Services' })),
]
