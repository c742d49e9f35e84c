// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { flowFlag, flowState, flowWay, mode } from '#kernel/bpf/words.ts'
import { icmpError, ipPacket } from '../build.ts'
import { ago, client, ends, endsInside, kinds, serviceNode, way } from '../exchange.ts'
import { Node } from '../node.ts'
import { Machine } from '../run.ts'
import { serviceIs } from '../services.ts'
import * as t from '../topology.ts'
import { row, rowsOf } from '../world.ts'

/** A pod answers who asked the node: the flow was made where the question came in. */
const machine = new Machine()
after(() => machine[Symbol.dispose]())
const { families, pod1, sent, handed, remote, nodeDevice } = t
const nodePort = 30080
const regular = mode.guard | mode.service

for (const family of families) {
  for (const kind of Object.values(kinds)) {
    const of = `IPv${family} ${kind.name}`
    const { protocol } = kind
    const target = kind.name === 'SCTP' ? nodePort : kind.target
    const [me, far, host] = [pod1.ip[family], remote[family], t.node[family]]
    const key = { local: me, remote: far, localPort: target, remotePort: client, protocol }
    const asked = { seen: ago(1), state: flowState.new, way: flowWay.direct, flags: flowFlag.remoteFirst, frontend: 3 }
    const flow = (more = {}) => row('new_flows', key, { ...asked, localIncarnation: pod1.incarnation, identity: 2, rxPackets: 1, ...more })
    const frontend = serviceIs({ ip: host, port: nodePort, protocol, scope: 'outside', frontend: 3, set: 3 })
    const answer = sent(pod1, far, kind.answer(target, client), { mark: 5, time: 77n })

    test(`${of}: the answer leaves by the node's device, from the address that was asked`, () => {
      for (const value of [t.everything | mode.service, regular]) {
        const node = new Node(machine, [
          ...serviceNode(value),
          ...frontend,
          flow({ way: value === regular ? flowWay.host : flowWay.direct }),
        ])
        const out = node.meet(answer, 'podAnswersClient')
        assert.deepEqual([ends(out.packet), out.target, out.mark, out.time], [way(host, nodePort, far, client), nodeDevice, 0, 0n])
        assert.deepEqual(
          rowsOf(node.world, protocol === 6 ? 'new_flows' : 'flows').map(({ value }) => [value.state, value.frontend, value.txPackets]),
          [[flowState.open, 3, 1]],
        )
        const long = kind.next(target, client)
        assert.equal(ends(node.meet(sent(pod1, far, long), 'podAnswersClient').packet), way(host, nodePort, far, client))
      }
    })

    test(`${of}: on a regular node what is handed over is counted to it`, () => {
      const node = new Node(machine, [...serviceNode(regular), ...frontend, flow({ way: flowWay.host })])
      const into = node.meet(handed(far, pod1, kind.next(client, target), { ingressIfIndex: nodeDevice }), 'hostToPod')
      assert.equal(ends(into.packet), way(far, client, me, target))
      assert.equal(rowsOf(node.world, 'new_flows')[0]?.value.rxPackets, 2)
    })

    test(`${of}: policy that changes ends it, where it forwards`, () => {
      const rows = [...frontend, flow(), t.policyOf(pod1, { enforce: 3, revision: 2 })]
      const node = new Node(machine, [...serviceNode(), ...rows])
      node.meet(answer, 'policy-ingress')
      node.meet(answer, 'denied-flow')
      new Node(machine, [...serviceNode(regular | mode.policy), ...rows]).meet(answer, 'podAnswersClient')
    })

    test(`${of}: without its frontend there is no answer`, () => {
      new Node(machine, [...serviceNode(), flow()]).meet(answer, 'service-translation-failed')
    })

    test(`${of}: an error of the pod is about what the client sent`, () => {
      const carried = ipPacket(far, me, kind.next(client, target))
      const about = (bytes: Buffer) => sent(pod1, far, icmpError(family === 4 ? 3 : 1, family === 4 ? 3 : 4, bytes))
      for (const value of [t.everything | mode.service, regular]) {
        const node = new Node(machine, [...serviceNode(value), ...frontend, flow(), t.policyOf(pod1, { enforce: 3, revision: 0 })])
        for (const bytes of [carried, carried.subarray(0, (family === 4 ? 20 : 40) + 8)]) {
          const out = node.meet(about(bytes), 'podAnswersClient')
          assert.equal(out.target, nodeDevice)
          assert.equal(endsInside(out.packet), way(far, client, host, nodePort))
          assert.equal(ends(out.packet), way(host, 0, far, 0))
        }
        const before = node.world
        node.meet(about(carried.subarray(0, family === 4 ? 20 : 40)), value === regular ? 'icmpError' : 'icmp-unrelated')
        const other = about(ipPacket(far, me, kind.next(client + 1, target)))
        node.meet(other, value === regular ? 'icmpError' : 'icmp-unrelated')
        assert.deepEqual(node.world, before)
      }
    })
  }
}
