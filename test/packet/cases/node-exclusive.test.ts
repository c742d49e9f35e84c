// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { addressState, mode } from '#kernel/bpf/words.ts'
import { icmpError, ipPacket, tcp } from '../build.ts'
import { client, ends, endsInside, kinds, serviceNode, serviceOf, way } from '../exchange.ts'
import { Node } from '../node.ts'
import type { Outcome } from '../oracle/step.ts'
import { Machine } from '../run.ts'
import { setIs } from '../services.ts'
import * as t from '../topology.ts'
import { nodeFlowsOf } from '../world.ts'

/** A client asks the node for a pod that has an ENI for itself: the pod sees the node, and answers it through its host end. */
const machine = new Machine()
after(() => machine[Symbol.dispose]())
const { families, node: nodeIp, otherRemote, pod1, reached, remote, service, told } = t

const portOf = ({ packet }: Outcome) => Number(ends(packet).split(' ')[1])
/** What the pod sends to its host end, where node_in is. */
const fromPod = (family: 4 | 6, segment: Parameters<typeof reached>[2], to = nodeIp[family]) => {
  const packet = reached(pod1.ip[family], to, segment)
  return { ...packet, arrival: { ...packet.arrival, ifIndex: pod1.ifIndex, ingressIfIndex: pod1.ifIndex } }
}
/** What the node sends there, where node_out is. */
const toPod = (family: 4 | 6, segment: Parameters<typeof told>[1]) => {
  const packet = told(pod1.ip[family], segment)
  return { ...packet, arrival: { ...packet.arrival, ifIndex: pod1.ifIndex } }
}

for (const family of families) {
  const [here, asker, pod] = [nodeIp[family], otherRemote[family], pod1.ip[family]]
  const exclusive = [
    { map: 'endpoints', key: { ifIndex: pod1.ifIndex }, value: undefined } as const,
    t.addressOf(pod1, family, { state: addressState.exclusive }),
    t.modeIs(mode.service),
  ]
  for (const kind of [kinds.TCP, kinds.UDP]) {
    const of = `IPv${family} ${kind.name}`
    const { port, target } = kind
    const rows = (more = {}) => [...serviceNode(), ...serviceOf(kind, family, [pod], { ip: here, scope: 'outside', ...more }), ...exclusive]
    const request = reached(asker, here, kind.first(client, port))

    test(`${of}: the pod sees the node, through its host end, and the client what it asked`, () => {
      const node = new Node(machine, rows())
      const sent = node.meet(request, 'nodeToRemote')
      assert.equal(sent.target, pod1.ifIndex)
      assert.equal(ends(sent.packet), way(here, portOf(sent), pod, target))
      const back = node.meet(fromPod(family, kind.answer(target, portOf(sent))), 'remoteAnswersClient')
      assert.equal(back.target, t.nodeDevice)
      assert.equal(ends(back.packet), way(here, port, asker, client))
      assert.equal(portOf(node.meet(reached(asker, here, kind.next(client, port)), 'nodeToRemote')), portOf(sent))
    })

    test(`${of}: so it does where a client must be seen with its own address`, () => {
      const node = new Node(machine, rows({ flags: ['local', 'keepSource'] }))
      const sent = node.meet(request, 'nodeToRemote')
      assert.equal(sent.target, pod1.ifIndex)
      assert.equal(
        ends(node.meet(fromPod(family, kind.answer(target, portOf(sent))), 'remoteAnswersClient').packet),
        way(here, port, asker, client),
      )
      // A pod that is gone is nobody here.
      node.change({ map: 'addresses', key: { ip: pod }, value: undefined })
      node.meet(reached(asker, here, kind.first(client + 1, port)), 'service-without-backend')
      assert.equal(nodeFlowsOf(node.world).length, 2)
    })

    const asking = (more = {}, at = service[family]) => [
      ...serviceNode(),
      ...serviceOf(kind, family, [remote[family]], { ip: at, ...more }),
      ...exclusive,
    ]

    test(`${of}: what asks there for a Service by packets is led to a backend elsewhere as the node, and answered there`, () => {
      for (const vip of [service[family], here]) {
        const node = new Node(machine, asking({}, vip))
        const sent = node.meet(fromPod(family, kind.first(client, port), vip), 'nodeToRemote')
        assert.equal(sent.target, t.nodeDevice)
        assert.equal(ends(sent.packet), way(here, portOf(sent), remote[family], target))
        const back = node.meet(reached(remote[family], here, kind.answer(target, portOf(sent))), 'remoteAnswersClient')
        assert.equal(back.target, pod1.ifIndex)
        assert.equal(ends(back.packet), way(vip, port, pod, client))
        // Somebody else at this address is not inside.
        node.meet(reached(pod, vip, kind.first(client + 1, port)), 'uncounted')
      }
    })

    test(`${of}: and to itself, and to the node, whose answer shows the Service`, () => {
      const node = new Node(machine, [...asking(), ...serviceOf(kind, family, [pod])])
      const sent = node.meet(fromPod(family, kind.first(client, port), service[family]), 'nodeToRemote')
      assert.deepEqual([sent.target, ends(sent.packet)], [pod1.ifIndex, way(here, portOf(sent), pod, target)])
      const back = node.meet(fromPod(family, kind.answer(target, portOf(sent))), 'remoteAnswersClient')
      assert.deepEqual([back.target, ends(back.packet)], [pod1.ifIndex, way(service[family], port, pod, client)])
      node.change(...serviceOf(kind, family, [here]))
      const next = client + 1
      assert.equal(
        ends(node.meet(fromPod(family, kind.first(next, port), service[family]), 'nodeToHost').packet),
        way(pod, next, here, target),
      )
      assert.equal(
        ends(node.meet(toPod(family, kind.answer(target, next)), 'hostAnswersClient').packet),
        way(service[family], port, pod, next),
      )
    })

    test(`${of}: whoever asks for a Service without backends is refused`, () => {
      const node = new Node(machine, [...asking(), ...setIs(1, [])])
      const { verdict, target: to } = node.meet(fromPod(family, kind.first(client, port), service[family]), 'service-without-backend')
      assert.deepEqual([verdict, to], ['redirect', pod1.ifIndex])
    })

    test(`${of}: what it sends to the node or by it otherwise is left alone`, () => {
      const node = new Node(machine, rows())
      node.meet(fromPod(family, kind.next(client, 22)), 'uncounted')
      node.meet(fromPod(family, kind.answer(target, 61000)), 'uncounted')
      node.meet(fromPod(family, kind.first(client, 443), t.localDns[family]), 'uncounted')
      assert.deepEqual(nodeFlowsOf(node.world), [])
    })
  }

  test(`IPv${family}: an error of the pod about what the node sent is for the client`, () => {
    const service = serviceOf(kinds.UDP, family, [pod], { ip: here, scope: 'outside' })
    const node = new Node(machine, [...serviceNode(), ...service, ...exclusive])
    const sent = node.meet(reached(asker, here, kinds.UDP.first(client, kinds.UDP.port)), 'nodeToRemote')
    const inside = ipPacket(here, pod, kinds.UDP.first(portOf(sent), kinds.UDP.target))
    const error = icmpError(family === 4 ? 3 : 1, family === 4 ? 3 : 4, inside)
    const { packet, target } = node.meet(fromPod(family, error), 'remoteAnswersClient')
    assert.equal(target, t.nodeDevice)
    assert.equal(endsInside(packet), way(asker, client, here, kinds.UDP.port))
  })

  test(`IPv${family}: a node that forwards leads there as well, and nothing past the host stack`, () => {
    const service = serviceOf(kinds.TCP, family, [pod], { ip: here, scope: 'outside' })
    const node = new Node(machine, [...serviceNode(), ...service, ...exclusive, t.modeIs(t.everything | mode.service)])
    assert.equal(node.meet(reached(asker, here, kinds.TCP.first(client, kinds.TCP.port)), 'nodeToRemote').target, pod1.ifIndex)
    node.meet(reached(asker, pod, tcp(client, kinds.TCP.target, 'S')), 'uncounted')
  })
}
