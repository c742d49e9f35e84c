// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { client, ends, kinds, serviceNode, serviceOf } from '../exchange.ts'
import { Node } from '../node.ts'
import { Machine } from '../run.ts'
import * as t from '../topology.ts'
import { nodeFlowsOf } from '../world.ts'

/** A flow through the node is among those in use once its client goes on after an answer: a flood of first packets evicts others. */
const machine = new Machine()
after(() => machine[Symbol.dispose]())
const { families, node: nodeIp, otherRemote, pod1, reached, remote, sent, told } = t

const tablesOf = (node: Node) => [...new Set(nodeFlowsOf(node.world).map(({ map }) => map))]

for (const family of families) {
  for (const kind of [kinds.TCP, kinds.UDP]) {
    const { port, target } = kind
    const [here, asker] = [nodeIp[family], otherRemote[family]]
    const rows = (backend: (typeof remote)[typeof family]) => [
      ...serviceNode(),
      ...serviceOf(kind, family, [backend], { ip: here, scope: 'outside' }),
    ]
    const first = reached(asker, here, kind.first(client, port))
    const next = reached(asker, here, kind.next(client, port))

    test(`IPv${family} ${kind.name}: towards a backend elsewhere`, () => {
      const node = new Node(machine, rows(remote[family]))
      const at = Number(ends(node.meet(first, 'nodeToRemote').packet).split(' ')[1])
      node.meet(first, 'nodeToRemote')
      assert.deepEqual(tablesOf(node), ['new_node_flows'])
      const answer = reached(remote[family], here, kind.answer(target, at))
      node.meet(answer, 'remoteAnswersClient')
      assert.deepEqual(tablesOf(node), ['new_node_flows'])
      node.meet(next, 'nodeToRemote')
      assert.deepEqual(tablesOf(node), ['node_flows'])
      node.meet(answer, 'remoteAnswersClient')
      node.meet(next, 'nodeToRemote')
      assert.deepEqual([tablesOf(node), nodeFlowsOf(node.world).length], [['node_flows'], 2])
    })

    test(`IPv${family} ${kind.name}: towards a socket of the node, and a pod of it`, () => {
      const own = new Node(machine, rows(here))
      own.meet(first, 'nodeToHost')
      own.meet(told(asker, kind.answer(target, client)), 'hostAnswersClient')
      assert.deepEqual(tablesOf(own), ['new_node_flows'])
      own.meet(next, 'nodeToHost')
      assert.deepEqual([tablesOf(own), nodeFlowsOf(own.world).length], [['node_flows'], 2])
      const pod = new Node(machine, rows(pod1.ip[family]))
      pod.meet(first, 'nodeToPod')
      pod.meet(sent(pod1, asker, kind.answer(target, client)), 'podAnswersClient')
      assert.deepEqual(tablesOf(pod), ['new_node_flows'])
      pod.meet(next, 'nodeToPod')
      assert.deepEqual([tablesOf(pod), nodeFlowsOf(pod.world).length], [['node_flows'], 1])
    })
  }
}
