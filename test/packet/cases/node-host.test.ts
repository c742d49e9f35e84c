// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { flowKind, flowState, flowTimeout, mode } from '#kernel/bpf/words.ts'
import { raw, tcp } from '../build.ts'
import { ago, client, ends, kinds, serviceNode, serviceOf, way } from '../exchange.ts'
import { Node } from '../node.ts'
import { Machine } from '../run.ts'
import { serviceIs } from '../services.ts'
import * as t from '../topology.ts'
import { nodeFlowsOf, row } from '../world.ts'

/** A client asks for a backend on the node's own network: the host stack gets the packet, and what it answers is translated where it leaves. */
const machine = new Machine()
after(() => machine[Symbol.dispose]())
const { families, node: nodeIp, otherRemote, pod1, reached, told } = t

for (const family of families) {
  const [here, asker, lb] = [nodeIp[family], otherRemote[family], t.service[family]]
  for (const kind of Object.values(kinds)) {
    const of = `IPv${family} ${kind.name}`
    const { port, target } = kind
    const outside = { ip: lb, scope: 'outside' } as const
    const rows = (more = {}) => [...serviceNode(), ...serviceOf(kind, family, [here], { ...outside, ...more })]
    const request = reached(asker, lb, kind.first(client, port))
    const next = reached(asker, lb, kind.next(client, port))
    const answer = told(asker, kind.answer(target, client))

    test(`${of}: the socket sees the client, and the client what it asked`, () => {
      for (const bits of [t.everything | mode.service, mode.service]) {
        const node = new Node(machine, [...rows(), t.modeIs(bits)])
        assert.equal(ends(node.meet(request, 'nodeToHost').packet), way(asker, client, here, target))
        assert.equal(ends(node.meet(answer, 'hostAnswersClient').packet), way(lb, port, asker, client))
        node.meet(next, 'nodeToHost')
        const entries = nodeFlowsOf(node.world)
        assert.deepEqual(entries.map(({ key }) => key.kind).sort(), [flowKind.client, flowKind.backend])
        for (const { value } of entries) assert.deepEqual([value.state, value.packets, value.natPort], [flowState.open, 3, 0])
      }
    })

    test(`${of}: what the node sends to others, and what others send by it, stays as it is`, () => {
      const node = new Node(machine, rows())
      node.meet(request, 'nodeToHost')
      node.meet(told(asker, kind.answer(target, client + 1)), 'uncounted')
      node.meet(told(asker, kind.answer(target + 1, client)), 'uncounted')
      node.meet(told(t.remote[family], kind.answer(target, client)), 'uncounted')
      node.meet(told(asker, kind.answer(target, client), { ingressIfIndex: pod1.ifIndex }), 'uncounted')
      node.change(t.modeIs(t.everything))
      node.meet(answer, 'uncounted')
    })

    test(`${of}: an entry that is idle is none, and one that is lost is made again`, () => {
      const node = new Node(machine, rows())
      node.meet(request, 'nodeToHost')
      const entry = nodeFlowsOf(node.world).find(({ key }) => key.kind === flowKind.backend)
      assert.ok(entry !== undefined)
      node.change(row(entry.map, entry.key, { ...entry.value, seen: ago(flowTimeout.new + 1) }))
      node.meet(answer, 'uncounted')
      node.meet(next, 'nodeToHost')
      node.meet(answer, 'hostAnswersClient')
      node.change({ map: entry.map, key: entry.key, value: undefined })
      node.meet(next, 'nodeToHost')
      node.meet(answer, 'hostAnswersClient')
      node.change({ map: 'frontends', key: { frontend: 1 }, value: undefined })
      node.meet(answer, 'service-translation-failed')
    })

    test(`${of}: from one port by two frontends it is the last one that answers`, () => {
      const second = { ...outside, ip: here, port: kind === kinds.SCTP ? port : port + 1, protocol: kind.protocol, frontend: 2, set: 1 }
      const node = new Node(machine, [...rows(), ...serviceIs(second)])
      node.meet(request, 'nodeToHost')
      node.meet(reached(asker, here, kind.first(client, second.port)), 'nodeToHost')
      assert.equal(ends(node.meet(answer, 'hostAnswersClient').packet), way(here, second.port, asker, client))
      node.meet(next, 'nodeToHost')
      assert.equal(ends(node.meet(answer, 'hostAnswersClient').packet), way(lb, port, asker, client))
    })
  }

  test(`IPv${family}: fragments of an answer`, () => {
    const kind = kinds.UDP
    const node = new Node(machine, [...serviceNode(), ...serviceOf(kind, family, [here], { ip: lb, scope: 'outside' })])
    const part = (offset: number, more: boolean) => ({ fragment: { id: 9, offset, more } })
    const rest = raw(kind.protocol, Buffer.alloc(16))
    node.meet(told(asker, rest, part(3, false)), 'uncounted')
    node.meet(told(asker, kind.answer(kind.target, client), part(0, true)), 'uncounted')
    node.meet(told(asker, rest, part(3, false)), 'uncounted')
    node.meet(reached(asker, lb, kind.first(client, kind.port)), 'nodeToHost')
    node.meet(told(asker, kind.answer(kind.target, client), part(0, true)), 'hostAnswersClient')
    node.meet(told(asker, rest, part(3, false)), 'hostAnswersClient')
  })

  test(`IPv${family}: a connection is as far as both of its sides`, () => {
    const { port, target } = kinds.TCP
    const node = new Node(machine, [...serviceNode(), ...serviceOf(kinds.TCP, family, [here], { ip: lb, scope: 'outside' })])
    const say = (flags: string) => node.meet(reached(asker, lb, tcp(client, port, flags)), 'nodeToHost')
    const reply = (flags: string) => node.meet(told(asker, tcp(target, client, flags)), 'hostAnswersClient')
    const states = () => nodeFlowsOf(node.world).map(({ value }) => value.state)
    say('S')
    reply('SA')
    reply('FA')
    assert.deepEqual(states(), [flowState.open, flowState.open])
    say('FA')
    assert.deepEqual(states(), [flowState.closing, flowState.closing])
    say('S')
    assert.deepEqual(states(), [flowState.new, flowState.new])
    reply('RA')
    assert.deepEqual(states(), [flowState.closing, flowState.closing])
  })
}
