// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { flowKind, flowState, mode } from '#kernel/bpf/words.ts'
import { icmpError, ipPacket } from '../build.ts'
import { backendsAt, client, ends, endsInside, kinds, serviceNode, serviceOf, way } from '../exchange.ts'
import { Node } from '../node.ts'
import { Machine } from '../run.ts'
import { backendIs, setIs } from '../services.ts'
import * as t from '../topology.ts'
import { type Change, row, rowsOf } from '../world.ts'

/** A pod that is its own backend, where its two sides are hard to tell apart. */
const machine = new Machine()
after(() => machine[Symbol.dispose]())
const { families, pod1, sent, remote, service } = t
const modes = [t.everything | mode.service, mode.guard | mode.service]

for (const family of families) {
  const [me, far, vip] = [pod1.ip[family], remote[family], service[family]]
  for (const kind of Object.values(kinds)) {
    const of = `IPv${family} ${kind.name}`
    const { port, target } = kind

    test(`${of}: with one port for its client, its backend and the Service both flows have a place`, () => {
      const one = 7000
      const alike = { ...kind, port: one, target: one }
      for (const value of modes) {
        const node = new Node(machine, [...serviceNode(value), ...serviceOf(alike, family, [me])])
        const meets = (segment: ReturnType<typeof kind.first>) =>
          assert.equal(ends(node.meet(sent(pod1, vip, segment), 'hairpin').packet), way(vip, one, me, one))
        meets(kind.first(one, one))
        // Whether the client goes on, or the other side answers, nobody can tell.
        for (let i = 0; i < 3; i++) meets(kind.next(one, one))
        const flows = rowsOf(node.world, 'flows').map(({ key, value }) => [key.kind, value.backend, value.state])
        assert.deepEqual(flows.toSorted(), [
          [flowKind.pod, 1, flowState.open],
          [flowKind.backend, 0, flowState.open],
        ])
        // Whoever begins anew, and a datagram when its backend goes, comes to another one.
        const [gone, other] = backendsAt(alike, [me, far])
        assert.ok(gone && other)
        node.change(backendIs({ ...gone, state: 'draining' }), backendIs(other), ...setIs(1, [2]))
        if (kind.name === 'TCP') meets(kind.next(one, one))
        const path = value === modes[0] ? 'podToRemote' : 'podViaHost'
        assert.equal(ends(node.meet(sent(pod1, vip, kind.first(one, one)), path).packet), way(me, one, far, one))
      }
    })

    const closed = (source: number, destination: number) => {
      const [type, code] = family === 4 ? ([3, 3] as const) : ([1, 4] as const)
      return sent(pod1, vip, icmpError(type, code, ipPacket(vip, me, kind.next(source, destination))))
    }
    test(`${of}: each of its sides is told what the other one says of its packets`, () => {
      for (const value of modes) {
        const node = new Node(machine, [...serviceNode(value), ...serviceOf(kind, family, [me]), t.policyOf(pod1, { enforce: 3 })])
        node.meet(closed(client, target), value === modes[0] ? 'icmp-unrelated' : 'icmpError')
        node.meet(sent(pod1, vip, kind.first(client, port)), 'hairpin')
        const told = (source: number, destination: number, of: string) => {
          const { packet, target } = node.meet(closed(source, destination), 'hairpin')
          assert.deepEqual([ends(packet), endsInside(packet), target], [way(vip, 0, me, 0), of, pod1.ifIndex])
        }
        told(client, target, way(me, client, vip, port))
        told(port, client, way(me, target, vip, client))
        node.change({ ...row('frontends', { frontend: 1 }, {}), value: undefined } as Change)
        node.meet(closed(client, target), 'service-translation-failed')
        node.change({ ...row('backends', { backend: 1 }, {}), value: undefined } as Change)
        node.meet(closed(port, client), 'icmpError')
        node.change(t.modeIs(t.everything))
        node.meet(closed(client, target), 'icmpError')
      }
    })

    test(`${of}: so it is with one port for all`, () => {
      const one = 7000
      const node = new Node(machine, [...serviceNode(), ...serviceOf({ ...kind, port: one, target: one }, family, [me])])
      node.meet(sent(pod1, vip, kind.first(one, one)), 'hairpin')
      const { packet } = node.meet(closed(one, one), 'hairpin')
      assert.deepEqual([ends(packet), endsInside(packet)], [way(vip, 0, me, 0), way(me, one, vip, one)])
    })
  }
}
