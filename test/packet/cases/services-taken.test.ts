// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { flowFlag, flowState, flowWay, mode } from '#kernel/bpf/words.ts'
import { ago, backendsAt, client, ends, kinds, serviceNode, serviceOf, way } from '../exchange.ts'
import { Node } from '../node.ts'
import { Machine } from '../run.ts'
import { backendGoes, backendIs, setIs } from '../services.ts'
import * as t from '../topology.ts'
import { type Change, row } from '../world.ts'

/** Flows that kube-proxy translated when the node was taken over from it, with the backend that it chose. */
const machine = new Machine()
after(() => machine[Symbol.dispose]())
const { families, pod1, sent, remote, otherRemote, service } = t

for (const family of families) {
  const [me, old, other, vip] = [pod1.ip[family], remote[family], otherRemote[family], service[family]]
  for (const kind of Object.values(kinds)) {
    const { port, target, protocol } = kind
    const key = { local: me, remote: vip, localPort: client, remotePort: port, protocol }
    const taken = (backend: number) =>
      row('flows', key, {
        seen: ago(1),
        state: flowState.open,
        way: flowWay.host,
        flags: flowFlag.answered | flowFlag.imported,
        localIncarnation: pod1.incarnation,
        backend,
      })
    const [first, second] = backendsAt(kind, [old, other])
    assert.ok(first && second)
    const goes: readonly Change[] = [backendIs({ ...first, state: 'draining' }), backendIs(second), ...setIs(1, [2])]
    const next = sent(pod1, vip, kind.next(client, port))

    test(`IPv${family} ${kind.name}: they stay with the host stack as long as their backend is there`, () => {
      for (const value of [t.everything | mode.service, t.everything | mode.service | mode.learn, mode.service]) {
        const viaHost = value === mode.service ? 'none' : 'podViaHost'
        const node = new Node(machine, [...serviceNode(value), ...serviceOf(kind, family, [old]), taken(1)])
        assert.equal(ends(node.meet(next, viaHost).packet), way(me, client, vip, port))
        node.change(...goes)
        if (kind.name === 'TCP') {
          node.meet(next, viaHost)
          continue
        }
        // What is decided while the node learns, the host stack carries, translated or not.
        const path = value === (t.everything | mode.service) ? 'podToRemote' : 'podViaHost'
        assert.equal(ends(node.meet(next, path).packet), way(me, client, other, target))
        assert.equal(ends(node.meet(next, path).packet), way(me, client, other, target))
      }
    })

    test(`IPv${family} ${kind.name}: nor do they go on when nobody knows that backend any more`, () => {
      const node = new Node(machine, [...serviceNode(), ...serviceOf(kind, family, [old]), taken(1)])
      node.change(...goes, backendGoes(1))
      if (kind.name !== 'TCP') assert.equal(ends(node.meet(next, 'podToRemote').packet), way(me, client, other, target))
    })

    test(`IPv${family} ${kind.name}: without a word of their backend they stay, and where Services are not ours`, () => {
      const node = new Node(machine, [...serviceNode(), ...serviceOf(kind, family, [old]), ...goes, taken(0)])
      node.meet(next, 'podViaHost')
      const kubeProxy = new Node(machine, [...t.nodeRows(), ...serviceOf(kind, family, [old]), ...goes, taken(1)])
      kubeProxy.meet(next, 'podViaHost')
    })
  }
}
