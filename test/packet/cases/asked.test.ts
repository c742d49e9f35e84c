// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { tcp } from '../build.ts'
import { ends, kinds, serviceNode, serviceOf, way } from '../exchange.ts'
import { Asked } from '../invariants.ts'
import { fateOfOutcome } from '../node.ts'
import { expected } from '../oracle/oracle.ts'
import * as t from '../topology.ts'
import { type Change, changed, rowOf, type World } from '../world.ts'

const { families, pod1, remote, service, sent } = t
const { port, target } = kinds.TCP

for (const family of families) {
  test(`IPv${family}: what was refused has asked nobody, and its answer is no wrong one`, () => {
    const asked = new Asked()
    let now = 1
    const [own, peer] = [pod1.ip[family], remote[family]]
    const rows = [...serviceNode(), ...serviceOf(kinds.TCP, family, [peer]), t.ruleOf({ prefixLength: 72, direction: 2 })]
    let world: World = changed({}, [...rows, t.policyOf(pod1, { enforce: 0 })])
    const change = (...more: readonly Change[]) => {
      world = changed(world, more)
    }
    const meet = (packet: t.Packet) => {
      const outcome = expected(packet.program, world, packet.arrival, now, {
        reason: 0,
        row: (map, key) => rowOf(world, map, key),
      })
      const { changes, packet: after, reason } = outcome
      const fate = fateOfOutcome(outcome)
      asked.follow({ world, changes, ...packet, after: reason === 0 ? after : undefined, fate })
      change(...changes)
      return { fate, after }
    }
    const first = tcp(40000, port, 'S')
    assert.equal(meet(sent(pod1, peer, tcp(40000, target, 'S'))).fate, 'podToRemote')
    // The flow is in use no more, or another one's that goes the same way would be refused.
    now += 60_000
    change(t.policyOf(pod1, { enforce: 2, policy: 9, revision: 2 }), t.policiesAre(2))
    assert.equal(meet(sent(pod1, service[family], first)).fate, 'policy-egress')
    change(t.policyOf(pod1, { enforce: 2, revision: 3 }), t.policiesAre(3))
    const { fate, after } = meet(t.arrived(peer, pod1, tcp(target, 40000, 'SA')))
    assert.equal(fate, 'remoteToPod')
    assert.equal(ends(after), way(service[family], port, own, 40000))
  })
}
