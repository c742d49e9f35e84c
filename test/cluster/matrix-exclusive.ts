// SPDX-License-Identifier: Apache-2.0
import { direct, type Node, notOutside, type Paths, type Row, row, type Source, type Without } from './matrix.ts'
import { byNode, inside, policies, toRemote, translated } from './matrix-services.ts'

/*
 * The rows of a cluster without kube-proxy where node1 forwards by programs, node3 by its host stack, and node2 gives each pod an ENI: its pods and itself
 * as sources, and its pods as targets of everybody. Sockets of such pods are translated, and packets meet no program there, so nothing counts them.
 */
const own = 'node2'
/** From node2 to a pod of each node, once it is known which. */
const ways: Readonly<Record<Node, Paths>> = { node1: { node1: direct }, node2: {}, node3: {} }
const byNodes = (...[from, to, door, backend, around]: Parameters<typeof byNode>) => byNode(from, to, door, backend, around, own)
const ofExclusive = (rows: readonly Row[]) => rows.filter(({ backend }) => backend === own)

/** A pod of node2 before itself: its socket names its own address, and the packets stay on its loopback. */
const itself: readonly Row[] = translated.map(to => row('exclusive pod', to, own, 'itself', 'source'))

/** By what is sent elsewhere before it is translated: the door is another node's. */
const byOthers = (from: Source): readonly Row[] => [
  ...byNodes(from, 'NodePort', 'node1', 'node1'),
  ...byNodes(from, 'NodePort', 'node1', own),
  ...byNodes(from, 'NodePort', 'node3', 'node3'),
  ...byNodes(from, 'NodePort', 'node3', 'node1'),
]

/** From another node: to a pod of node2, and to any pod by node2. `around` is what the packets meet on the own node, `toHere` when they come back to it. */
function toOwn(from: Source, node: Node, sent: Paths, around: Paths): readonly Row[] {
  return [
    row(from, 'pod', own, own, 'source', around),
    ...ofExclusive(inside(from, node, { node1: {}, node2: sent, node3: {} })),
    ...byNodes(from, 'NodePort', own, own, around),
    ...byNodes(from, 'NodePort', own, 'node1', around),
  ]
}

export const rows: readonly Row[] = [
  row('exclusive pod', 'pod', own, own, 'source'),
  row('exclusive pod', 'pod', 'node1', 'node1', 'source', ways.node1),
  row('exclusive pod', 'pod', 'node3', 'node3', 'source'),
  ...itself,
  ...inside('exclusive pod', own, ways),
  ...byOthers('exclusive pod'),

  row('exclusive host', 'pod', own, own, 'source'),
  row('exclusive host', 'pod', 'node1', 'node1', 'source', ways.node1),
  row('exclusive host', 'pod', 'node3', 'node3', 'source'),
  ...inside('exclusive host', own, ways),
  ...byOthers('exclusive host'),

  ...toOwn('V2 pod', 'node1', { node1: direct }, { node1: direct }),
  ...toOwn('regular pod', 'node3', { node3: ['podViaHost', 'hostToPod'] }, {}),
  ...toOwn('V2 host', 'node1', {}, {}),
  ...toOwn('regular host', 'node3', {}, {}),

  {
    ...row('outside', 'pod', own, own, 'source'),
    without: { family: 4, why: 'a pod has no public IPv4 address' },
  },
  ...(['NodePort', 'externalIP'] as const).flatMap(to => [
    ...byNodes('outside', to, own, own),
    ...byNodes('outside', to, own, 'node1'),
    ...byNodes('outside', to, own, 'node3'),
    ...byNodes('outside', to, 'node1', own),
    ...byNodes('outside', to, 'node3', own),
  ]),
  row('outside', 'LoadBalancer', own, own, 'a node', 'by chance'),
  { ...row('outside', 'LoadBalancer', own, own, own, { [own]: toRemote }), policy: 'Local' },
]

export const without: readonly Without[] = [
  notOutside,
  { to: 'pod', policy: 'Local', why: 'a policy is of Services' },
  ...policies.map(policy => ({
    ...{ to: 'hostPort' as const, policy },
    why: "portmap's; a client outside would hear the answer from the pod's ENI, and not from the node that it asked",
  })),
]
