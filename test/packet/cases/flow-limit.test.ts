// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { tcp, udp } from '../build.ts'
import { client, kinds, serviceNode, serviceOf } from '../exchange.ts'
import { Node } from '../node.ts'
import { Machine } from '../run.ts'
import * as t from '../topology.ts'
import { rowOf, rowsOf } from '../world.ts'

/** A pod that has as many flows as it may have begins no more, and gets no more; what it has goes on. */
const machine = new Machine()
after(() => machine[Symbol.dispose]())
const { families, pod1, pod2, sent, arrived, handed, remote, node: nodeIp, service } = t

const countOf = (node: Node, pod = pod1) => {
  const { live = 0, refused = 0n } = rowOf(node.world, 'endpoint_flows', { ifIndex: pod.ifIndex }) ?? {}
  return [live, Number(refused)]
}
const entries = (node: Node) => (['flows', 'new_flows'] as const).flatMap(map => rowsOf(node.world, map)).length

for (const family of families) {
  const far = remote[family]
  const full = (...more: Parameters<typeof machine.write>[0]) => new Node(machine, [...t.nodeRows(), t.limitIs(2), ...more])

  test(`IPv${family}: without a limit nothing is counted`, () => {
    const node = new Node(machine, t.nodeRows())
    node.meet(sent(pod1, far, tcp(40000, 80, 'S')), 'podToRemote')
    node.meet(sent(pod1, far, tcp(40000, 80, 'R')), 'podToRemote')
    assert.equal(rowsOf(node.world, 'endpoint_flows').length, 0)
  })

  test(`IPv${family}: up to the limit, either way`, () => {
    const node = full()
    node.meet(sent(pod1, far, tcp(40000, 80, 'S')), 'podToRemote')
    node.meet(arrived(far, pod1, udp(53, 40001)), 'remoteToPod')
    assert.deepEqual(countOf(node), [2, 0])
    node.meet(sent(pod1, far, tcp(40002, 80, 'S')), 'flow-limit')
    node.meet(sent(pod1, far, udp(40002, 80)), 'flow-limit')
    node.meet(arrived(far, pod1, tcp(80, 40003, 'S')), 'flow-limit')
    node.meet(handed(far, pod1, tcp(80, 40003, 'S')), 'flow-limit')
    node.meet(sent(pod1, nodeIp[family], tcp(40002, 80, 'S')), 'flow-limit')
    assert.deepEqual([countOf(node), entries(node)], [[2, 5], 2])
    node.meet(sent(pod1, far, tcp(40000, 80, 'S')), 'podToRemote')
    node.meet(arrived(far, pod1, tcp(80, 40000, 'SA')), 'remoteToPod')
    node.meet(sent(pod1, far, udp(40001, 53)), 'podToRemote')
    assert.deepEqual(countOf(node), [2, 5])
  })

  test(`IPv${family}: a count below zero goes on from there`, () => {
    const node = full(t.countIs(pod1, 2 ** 32 - 1))
    node.meet(sent(pod1, far, tcp(40000, 80, 'S')), 'podToRemote')
    assert.deepEqual(countOf(node), [0, 0])
  })

  test(`IPv${family}: one that ends makes room`, () => {
    const node = full(t.countIs(pod1, 1))
    node.meet(sent(pod1, far, tcp(40000, 80, 'S')), 'podToRemote')
    node.meet(sent(pod1, far, tcp(40001, 80, 'S')), 'flow-limit')
    node.meet(arrived(far, pod1, tcp(80, 40000, 'RA')), 'remoteToPod')
    node.meet(arrived(far, pod1, tcp(80, 40000, 'RA')), 'remoteToPod')
    assert.deepEqual(countOf(node), [1, 1])
    node.meet(sent(pod1, far, tcp(40001, 80, 'S')), 'podToRemote')
  })

  test(`IPv${family}: each pod for itself, and a flow between two of them needs both`, () => {
    const node = full(t.countIs(pod1, 2))
    node.meet(sent(pod2, far, tcp(40000, 80, 'S')), 'podToRemote')
    node.meet(sent(pod2, pod1.ip[family], tcp(40000, 80, 'S')), 'flow-limit')
    assert.deepEqual(
      [countOf(node), countOf(node, pod2)],
      [
        [2, 1],
        [2, 0],
      ],
    )
  })

  test(`IPv${family}: the node reaches its pods, and the middle of a connection goes on`, () => {
    const node = full(t.countIs(pod1, 2))
    node.meet(handed(nodeIp[family], pod1, tcp(50000, 8080, 'S')), 'hostToPod')
    node.meet(sent(pod1, far, tcp(40000, 80, 'A')), 'podToRemote')
    node.meet(arrived(far, pod1, tcp(80, 40001, 'A')), 'remoteToPod')
    assert.deepEqual(countOf(node), [5, 0])
  })

  test(`IPv${family}: what policy denies is no flow`, () => {
    const node = full(t.countIs(pod1, 2), t.policyOf(pod1, { enforce: 3 }))
    node.meet(sent(pod1, far, tcp(40000, 80, 'S')), 'policy-egress')
    assert.deepEqual(countOf(node), [2, 0])
  })

  for (const kind of Object.values(kinds)) {
    for (const [whose, ip, way] of [
      ['elsewhere', far, 'podToRemote'],
      ['the pod itself', pod1.ip[family], 'hairpin'],
    ] as const) {
      test(`IPv${family} ${kind.name}: a Service is one flow, its backend ${whose}`, () => {
        const node = new Node(machine, [...serviceNode(), t.limitIs(1), ...serviceOf(kind, family, [ip])])
        node.meet(sent(pod1, service[family], kind.first(client, kind.port)), way)
        assert.deepEqual(countOf(node), [1, 0])
        node.meet(sent(pod1, service[family], kind.first(client + 1, kind.port)), 'flow-limit')
      })
    }
  }
}
