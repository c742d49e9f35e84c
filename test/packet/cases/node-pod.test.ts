// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { addressState, direction, endpointFlag, flowFlag, flowKind, flowState, flowTimeout, flowWay, mode } from '#kernel/bpf/words.ts'
import { tcp, udp } from '../build.ts'
import { ago, client, ends, kinds, serviceNode, serviceOf, way } from '../exchange.ts'
import { type Fate, Node } from '../node.ts'
import { Machine } from '../run.ts'
import { serviceIs } from '../services.ts'
import * as t from '../topology.ts'
import { nodeFlowsOf, type Row, row, rowsOf } from '../world.ts'

/** A client asks the node for a pod that is here: the pod sees the client, whom it answers as what was asked. */
const machine = new Machine()
after(() => machine[Symbol.dispose]())
const { families, node: nodeIp, arrived, handed, otherRemote, pod1, reached, sent } = t

const flowOf = (node: Node): Row<'flows'>['value'] => {
  const [first, ...rest] = [...rowsOf(node.world, 'flows'), ...rowsOf(node.world, 'new_flows')]
  assert.ok(first !== undefined && rest.length === 0)
  return first.value
}
const entryOf = (node: Node): ReturnType<typeof nodeFlowsOf>[number] => {
  const [first, ...rest] = nodeFlowsOf(node.world)
  assert.ok(first !== undefined && rest.length === 0)
  assert.equal(first.key.kind, flowKind.client)
  return first
}

for (const family of families) {
  const [here, asker, pod] = [nodeIp[family], otherRemote[family], pod1.ip[family]]
  const outside = { ip: here, scope: 'outside' } as const
  for (const kind of Object.values(kinds)) {
    const of = `IPv${family} ${kind.name}`
    const { port, target } = kind
    const rows = (more = {}) => [...serviceNode(), ...serviceOf(kind, family, [pod], { ...outside, ...more })]
    const first = reached(asker, here, kind.first(client, port))
    const next = reached(asker, here, kind.next(client, port))
    const answer = sent(pod1, asker, kind.answer(target, client))

    test(`${of}: the pod sees the client, and the client what it asked`, () => {
      const node = new Node(machine, rows())
      assert.equal(ends(node.meet(first, 'nodeToPod').packet), way(asker, client, pod, target))
      const { way: its, flags, frontend } = flowOf(node)
      assert.deepEqual([its, flags, frontend], [flowWay.direct, flowFlag.remoteFirst, 1])
      assert.equal(ends(node.meet(answer, 'podAnswersClient').packet), way(here, port, asker, client))
      node.meet(next, 'nodeToPod')
      assert.equal(entryOf(node).value.state, flowState.open)
    })

    test(`${of}: so it does on a node that does not forward, where the host stack has the routes`, () => {
      const node = new Node(machine, [...rows(), t.modeIs(mode.service | mode.policy), t.policyOf(pod1, { enforce: 3 })])
      const { packet } = node.meet(first, 'nodeToPod')
      assert.equal(ends(packet), way(asker, client, pod, target))
      assert.equal(flowOf(node).way, flowWay.host)
      node.meet(answer, 'podAnswersClient')
      node.meet(next, 'nodeToPod')
      assert.equal(entryOf(node).value.state, flowState.open)
      // Forwarding from now on, and no more.
      node.change(t.modeIs(mode.service | mode.forward))
      node.meet(next, 'nodeToPod')
      assert.equal(flowOf(node).way, flowWay.direct)
      node.change(t.modeIs(mode.service))
      node.meet(next, 'nodeToPod')
      assert.equal(flowOf(node).way, flowWay.host)
    })

    test(`${of}: a backend here takes clients that must be seen with their own address`, () => {
      const node = new Node(machine, rows({ flags: ['local', 'keepSource'] }))
      node.meet(first, 'nodeToPod')
    })

    test(`${of}: policy sees the client and the pod's port`, () => {
      const node = new Node(machine, [...rows(), t.policyOf(pod1, { enforce: 3 }), t.identityIs(asker, family === 4 ? 32 : 128, 100)])
      node.meet(first, 'policy-ingress')
      node.meet(first, 'denied-flow')
      assert.deepEqual(nodeFlowsOf(node.world), [])
      const rule = { prefixLength: 96, identity: 100, direction: direction.in, protocol: kind.protocol, port: target }
      node.change(t.policyOf(pod1, { enforce: 3, revision: 2 }), t.ruleOf(rule))
      node.meet(first, 'nodeToPod')
      node.meet(answer, 'podAnswersClient')
      node.change(t.policyOf(pod1, { enforce: 3, revision: 3 }), t.ruleOf(rule, 1))
      node.meet(next, 'policy-ingress')
      node.meet(answer, 'denied-flow')
      // A node that does not forward asks no policy.
      node.change(t.modeIs(mode.service | mode.policy))
      node.meet(next, 'nodeToPod')
    })

    test(`${of}: a pod that is left to the host stack`, () => {
      const stack = t.addressOf(pod1, family, { state: addressState.stack })
      const node = new Node(machine, [...rows(), stack])
      node.meet(first, 'nodeToPod')
      node.meet(next, 'nodeToPod')
      assert.deepEqual([...rowsOf(node.world, 'flows'), ...rowsOf(node.world, 'new_flows')], [])
      assert.equal(entryOf(node).value.packets, 2)
    })

    test(`${of}: through the queue of a pod whose ingress is shaped`, () => {
      const node = new Node(machine, [...rows(), t.endpointOf(pod1, { flags: endpointFlag.shaped })])
      node.meet(first, 'shaped')
    })

    test(`${of}: an entry that is idle, and one of an earlier owner of the address`, () => {
      const node = new Node(machine, rows())
      node.meet(first, 'nodeToPod')
      const { map, key, value } = entryOf(node)
      node.change(row(map, key, { ...value, seen: ago(flowTimeout.new + 1) }))
      node.meet(next, 'nodeToPod')
      assert.equal(entryOf(node).value.packets, 1)
      node.change(t.endpointOf(pod1, { incarnation: 7 }), t.addressOf(pod1, family, { incarnation: 7 }))
      node.meet(next, 'nodeToPod')
      assert.equal(flowOf(node).localIncarnation, 7)
    })
  }

  const v = `IPv${family}`
  const { port, target } = kinds.UDP
  const ask = (size = 0) => reached(asker, here, udp(client, port, Buffer.alloc(size)))
  const udpRows = [...serviceNode(), ...serviceOf(kinds.UDP, family, [pod], outside)]

  test(`${v}: what is longer than the pod takes is the host stack's, translated`, () => {
    const node = new Node(machine, [...udpRows, t.endpointOf(pod1, { mtu: 1300 })])
    const most = 1300 - (family === 4 ? 20 : 40) - 8
    node.meet(ask(most), 'nodeToPod')
    assert.equal(ends(node.meet(ask(most + 1), 'tooLong').packet), way(asker, client, pod, target))
    node.change(t.modeIs(mode.service))
    node.meet(ask(most + 1), 'nodeToPod')
  })

  test(`${v}: what the pod asked the client itself is no flow of a client's`, () => {
    const node = new Node(machine, udpRows)
    node.meet(sent(pod1, asker, udp(target, client)), 'podToRemote')
    node.meet(ask(), 'nodeToPod')
    assert.equal(flowOf(node).flags & flowFlag.remoteFirst, flowFlag.remoteFirst)
    node.meet(sent(pod1, asker, udp(target, client)), 'podAnswersClient')
  })

  test(`${v}: by another frontend from the same port the pod answers as the last one`, () => {
    const other = serviceIs({ ...outside, port: 54, protocol: 17, frontend: 2, set: 1 })
    const node = new Node(machine, [...udpRows, ...other])
    node.meet(ask(), 'nodeToPod')
    node.meet(reached(asker, here, udp(client, 54)), 'nodeToPod')
    const answer = sent(pod1, asker, udp(target, client))
    assert.equal(ends(node.meet(answer, 'podAnswersClient').packet), way(here, 54, asker, client))
    node.meet(ask(), 'nodeToPod')
    assert.equal(ends(node.meet(answer, 'podAnswersClient').packet), way(here, port, asker, client))
  })

  test(`${v}: whoever then speaks to the pod itself from the same port is answered by the pod, and the other way round`, () => {
    const itself = way(pod, target, asker, client)
    const byFrontend = way(here, port, asker, client)
    const answer = sent(pod1, asker, udp(target, client))
    const direct = udp(client, target)
    const node = new Node(machine, udpRows)
    const says = (packet: t.Packet, path: Fate, back: Fate, as: string) => {
      node.meet(packet, path)
      assert.equal(ends(node.meet(answer, back).packet), as)
    }
    says(ask(), 'nodeToPod', 'podAnswersClient', byFrontend)
    says(arrived(asker, pod1, direct), 'remoteToPod', 'podToRemote', itself)
    says(ask(), 'nodeToPod', 'podAnswersClient', byFrontend)
    // A pod whose ENI is the node's own.
    node.change(t.endpointOf(pod1, { outIfIndex: t.nodeDevice }))
    says(reached(asker, pod, direct), 'remoteToPod', 'podToRemote', itself)
    // The client is a pod of this node now.
    node.change(t.addressOf({ ...t.pod2, ip: { ...t.pod2.ip, [family]: asker } }, family))
    says(ask(), 'nodeToPod', 'podAnswersClient', byFrontend)

    const regular = new Node(machine, [...udpRows, t.modeIs(mode.service)])
    for (let round = 0; round < 2; round++) {
      regular.meet(ask(), 'nodeToPod')
      regular.meet(handed(asker, pod1, direct, { ingressIfIndex: t.nodeDevice }), 'hostToPod')
      assert.equal(ends(regular.meet(answer, 'podAnswersClient').packet), byFrontend)
      regular.meet(handed(asker, pod1, direct), 'none')
      regular.meet(answer, 'none')
    }
    // What the host stack carried before the node forwards, is the host stack's to hand over.
    regular.meet(ask(), 'nodeToPod')
    regular.change(t.modeIs(t.everything | mode.service))
    regular.meet(arrived(asker, pod1, direct), 'remoteViaHost')
    regular.meet(handed(asker, pod1, direct), 'hostToPod')
    regular.meet(answer, 'podViaHost')
  })

  test(`${v}: the client's entry is as far as the pod's flow`, () => {
    const node = new Node(machine, [...serviceNode(), ...serviceOf(kinds.TCP, family, [pod], outside)])
    const say = (flags: string) => node.meet(reached(asker, here, tcp(client, kinds.TCP.port, flags)), 'nodeToPod')
    const reply = (flags: string) => node.meet(sent(pod1, asker, tcp(kinds.TCP.target, client, flags)), 'podAnswersClient')
    const states = () => [entryOf(node).value.state, flowOf(node).state]
    say('S')
    reply('SA')
    say('A')
    assert.deepEqual(states(), [flowState.open, flowState.open])
    reply('FA')
    say('FA')
    assert.deepEqual(states(), [flowState.closing, flowState.closing])
    say('S')
    assert.deepEqual(states(), [flowState.new, flowState.new])
    say('R')
    assert.deepEqual(states(), [flowState.closing, flowState.closing])
  })

  test(`${v}: a backend that moves away is reached where it is now`, () => {
    const node = new Node(machine, udpRows)
    node.meet(ask(), 'nodeToPod')
    node.change({ ...t.addressOf(pod1, family), value: undefined })
    node.meet(ask(), 'nodeToRemote')
    node.change(t.addressOf(pod1, family))
    node.meet(ask(), 'nodeToPod')
  })
}
