// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { mode, serviceWord } from '#kernel/bpf/words.ts'
import { tcp } from '../build.ts'
import { ago, client, ends, kinds, serviceNode, serviceOf } from '../exchange.ts'
import { Node } from '../node.ts'
import { Machine } from '../run.ts'
import * as t from '../topology.ts'
import { type Change, changing, row, rowsOf } from '../world.ts'

/** While tables of connections get another size, entries that were made a moment ago are missing until they are copied. */
const machine = new Machine()
after(() => machine[Symbol.dispose]())
const { families, pod1, pod2, sent, arrived, handed, reached, remote, otherRemote, service } = t

const movingFor = (seconds: number) => row('service_states', { index: serviceWord.movingUntil }, { value: BigInt(ago(-seconds)) })
const forgotten = (node: Node): Change[] =>
  changing.flatMap(map => rowsOf(node.world, map).map(({ key }) => ({ map, key, value: undefined }) as unknown as Change))
const lost = 'service-translation-failed'

for (const family of families) {
  const [me, far, vip, here, asker] = [pod1.ip[family], remote[family], service[family], t.node[family], otherRemote[family]]
  for (const kind of Object.values(kinds)) {
    const of = `IPv${family} ${kind.name}`
    const { port } = kind
    /** Where so many clients come to, each time from nothing, while tables move for so long. */
    const chosen = (rows: readonly Change[], seconds: number, packet: (n: number) => t.Packet, path: 'podToRemote' | 'nodeToRemote') => {
      const node = new Node(machine, [...serviceNode(), ...rows])
      const meet = (n: number) => {
        node.change(movingFor(seconds))
        return ends(node.meet(packet(n), path).packet)
      }
      const round = () => {
        const met = Array.from({ length: 30 }, (_, n) => meet(n))
        node.change(...forgotten(node))
        return met
      }
      return [round(), round()] as const
    }

    test(`${of}: what is chosen again is chosen the same, for so long`, () => {
      const backends = serviceOf(kind, family, [far, asker])
      const asks = (n: number) => sent(pod1, vip, kind.next(client + n, port))
      const [first, again] = chosen(backends, 5, asks, 'podToRemote')
      assert.deepEqual(again, first)
      assert.equal(new Set(first.map(way => way.split(' ')[3])).size, 2)
      for (const late of [-1, 60, 2 ** 20]) {
        const [once, twice] = chosen(backends, late, asks, 'podToRemote')
        assert.notDeepEqual(twice, once)
      }
    })

    if (kind.name !== 'SCTP')
      test(`${of}: so is the node's port to a backend elsewhere`, () => {
        const backends = serviceOf(kind, family, [far, t.hostCidr[family]], { ip: here, scope: 'outside' })
        const wide = t.nodeIs({ natPortLast: 61255 })
        const asks = (n: number) => reached(asker, here, kind.next(client + n, port))
        const [first, again] = chosen([...backends, wide], 5, asks, 'nodeToRemote')
        assert.deepEqual(again, first)
        assert.equal(new Set(first).size, 30)
      })
  }

  test(`IPv${family}: an answer whose flow is not there yet comes again, and leaves no trace`, () => {
    const { port, target } = kinds.TCP
    const rows = serviceOf(kinds.TCP, family, [far], { ip: here, scope: 'outside' })
    const node = new Node(machine, [...serviceNode(), ...rows])
    const answer = tcp(target, client, 'SA')
    const isEarly = (packet: t.Packet) => {
      node.change(movingFor(5))
      node.meet(packet, lost)
    }
    isEarly(arrived(far, pod1, answer))
    isEarly(handed(far, pod1, answer))
    isEarly(reached(far, here, tcp(target, 61000, 'SA')))
    assert.deepEqual(forgotten(node), [])
    isEarly(sent(pod2, me, answer))
    node.change(...forgotten(node), movingFor(5))
    node.meet(arrived(far, pod1, kinds.UDP.answer(5353, client)), 'remoteToPod')
    node.meet(reached(far, here, kinds.UDP.answer(5353, 61000)), 'uncounted')
    // What begins is in time.
    node.meet(arrived(far, pod1, tcp(client, target, 'S')), 'remoteToPod')
    node.meet(arrived(far, pod1, tcp(client, target, 'A')), 'remoteToPod')
    // Where no program translates, and where nobody but those who translate remembers flows, nothing is missing.
    node.change(...forgotten(node), t.modeIs(mode.service))
    node.meet(handed(far, pod1, answer), 'none')
    node.change(t.modeIs(t.everything))
    node.meet(arrived(far, pod1, answer), 'remoteToPod')
    node.change(...forgotten(node), t.modeIs(t.everything | mode.service), movingFor(-1))
    node.meet(arrived(far, pod1, answer), 'remoteToPod')
    node.meet(reached(far, here, tcp(port, 61000, 'SA')), 'uncounted')
  })
}
