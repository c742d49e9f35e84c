// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { flowFlag, flowState, flowWay } from '#kernel/bpf/words.ts'
import { tcp } from '../build.ts'
import { ago, client, kinds, serviceNode, serviceOf } from '../exchange.ts'
import { Node } from '../node.ts'
import { Machine } from '../run.ts'
import * as t from '../topology.ts'
import { type Change, row, rowsOf } from '../world.ts'

/** With credit a new flow is where those in use are from its first packet on, and marked until it is one of them. */
const machine = new Machine()
after(() => machine[Symbol.dispose]())
const { families, pod1, pod2, sent, arrived, handed, remote, service } = t
const { fresh, answered } = flowFlag

/** Of each entry: where it is, its state, and whether it has a credit. Choices come first. */
function entriesOf(node: Node): (readonly [map: string, state: number, isFresh: boolean])[] {
  const all = (['flows', 'new_flows'] as const).flatMap(map => rowsOf(node.world, map).map(({ value }) => ({ map, ...value })))
  return all.toSorted((a, b) => b.way - a.way).map(({ map, state, flags }) => [map, state, (flags & fresh) !== 0] as const)
}
const rows = [...t.nodeRows(), t.creditIs()]
const isNew = ['flows', flowState.new, true] as const
const inUse = ['flows', flowState.open, false] as const

for (const family of families) {
  const [far, vip] = [remote[family], service[family]]
  const data = tcp(40000, 80, 'A')
  const oneOf = (map: 'flows' | 'new_flows', flags: number, seconds: number, way: number = flowWay.direct): Change => {
    const key = { local: pod1.ip[family], remote: far, localPort: 40000, remotePort: 80, protocol: 6 }
    return row(map, key, { seen: ago(seconds), state: flowState.open, way, flags, localIncarnation: pod1.incarnation, identity: 2 })
  }

  test(`IPv${family}: a flow of TCP gives its credit back when the one who began goes on`, () => {
    const node = new Node(machine, rows)
    node.meet(sent(pod1, far, tcp(40000, 80, 'S')), 'podToRemote')
    assert.deepEqual(entriesOf(node), [isNew])
    node.meet(sent(pod1, far, tcp(40000, 80, 'S')), 'podToRemote')
    node.meet(arrived(far, pod1, tcp(80, 40000, 'SA')), 'remoteToPod')
    assert.deepEqual(entriesOf(node), [['flows', flowState.open, true]])
    node.meet(sent(pod1, far, data), 'podToRemote')
    assert.deepEqual(entriesOf(node), [inUse])
    node.meet(sent(pod1, far, tcp(40000, 80, 'RA')), 'podToRemote')
    node.meet(sent(pod1, far, tcp(40000, 80, 'S')), 'podToRemote')
    assert.deepEqual(entriesOf(node), [isNew])
  })

  test(`IPv${family}: between two pods each end has one, and what the host stack hands over, too`, () => {
    const node = new Node(machine, rows)
    node.meet(sent(pod1, pod2.ip[family], tcp(40000, 80, 'S')), 'podToPod')
    node.meet(handed(far, pod1, tcp(80, 41000, 'S')), 'hostToPod')
    assert.deepEqual(entriesOf(node), [isNew, isNew, isNew])
    node.meet(sent(pod2, pod1.ip[family], tcp(80, 40000, 'SA')), 'podToPod')
    node.meet(sent(pod1, pod2.ip[family], data), 'podToPod')
    assert.deepEqual(entriesOf(node), [isNew, inUse, inUse])
  })

  for (const kind of Object.values(kinds)) {
    test(`IPv${family} ${kind.name}: a choice has a credit of its own`, () => {
      const node = new Node(machine, [...serviceNode(), t.creditIs(), ...serviceOf(kind, family, [far])])
      node.meet(sent(pod1, vip, kind.first(client, kind.port)), 'podToRemote')
      assert.deepEqual(entriesOf(node), [isNew, isNew])
      node.meet(arrived(far, pod1, kind.answer(kind.target, client)), 'remoteToPod')
      node.meet(sent(pod1, vip, kind.next(client, kind.port)), 'podToRemote')
      assert.deepEqual(entriesOf(node), [inUse, inUse])
    })

    test(`IPv${family} ${kind.name}: and a pod that asks itself has two`, () => {
      const node = new Node(machine, [...serviceNode(), t.creditIs(), ...serviceOf(kind, family, [pod1.ip[family]])])
      node.meet(sent(pod1, vip, kind.first(client, kind.port)), 'hairpin')
      assert.deepEqual(entriesOf(node), [isNew, isNew])
      node.meet(sent(pod1, vip, kind.answer(kind.target, client)), 'hairpin')
      node.meet(sent(pod1, vip, kind.next(client, kind.port)), 'hairpin')
      assert.deepEqual(entriesOf(node), [inUse, inUse])
    })
  }

  test(`IPv${family}: what is denied takes no room of those in use`, () => {
    const node = new Node(machine, [...rows, t.policyOf(pod1, { enforce: 3 })])
    node.meet(sent(pod1, far, tcp(40000, 80, 'S')), 'policy-egress')
    assert.deepEqual(entriesOf(node), [['new_flows', flowState.denied, false]])
  })

  test(`IPv${family}: a new one takes the place of an outdated one, wherever that is`, () => {
    for (const map of ['flows', 'new_flows'] as const) {
      const node = new Node(machine, [...rows, oneOf(map, answered, 30000)])
      node.meet(sent(pod1, far, tcp(40000, 80, 'S')), 'podToRemote')
      assert.deepEqual(entriesOf(node), [isNew])
    }
  })

  test(`IPv${family}: without credit it waits beside, and moves when it is in use`, () => {
    const node = new Node(machine, [...t.nodeRows(), oneOf('flows', fresh, 30000)])
    node.meet(sent(pod1, far, tcp(40000, 80, 'S')), 'podToRemote')
    assert.deepEqual(entriesOf(node), [['new_flows', flowState.new, false]])
    node.meet(arrived(far, pod1, tcp(80, 40000, 'SA')), 'remoteToPod')
    node.meet(sent(pod1, far, data), 'podToRemote')
    assert.deepEqual(entriesOf(node), [inUse])
  })
}
