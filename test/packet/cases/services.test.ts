// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { flowState, flowWay, mode } from '#kernel/bpf/words.ts'
import { parseIp } from '#net/ip.ts'
import { echo, tcp } from '../build.ts'
import { backendsAt, client, ends, kinds, serviceNode, serviceOf, way } from '../exchange.ts'
import { Node } from '../node.ts'
import { Machine } from '../run.ts'
import { backendIs, rangeOf, serviceIs, setIs } from '../services.ts'
import * as t from '../topology.ts'
import { rowsOf } from '../world.ts'

const machine = new Machine()
after(() => machine[Symbol.dispose]())
const { families, pod1, pod2, pod3, sent, arrived, handed, remote, service } = t
const regular = mode.guard | mode.service

for (const family of families) {
  for (const kind of Object.values(kinds)) {
    const of = `IPv${family} ${kind.name}`
    const { port, target } = kind
    const vip = service[family]
    const [me, other, far] = [pod1.ip[family], pod2.ip[family], remote[family]]
    const request = sent(pod1, vip, kind.first(client, port))
    const next = sent(pod1, vip, kind.next(client, port))

    test(`${of}: a pod and a backend that is elsewhere`, () => {
      const node = new Node(machine, [...serviceNode(), ...serviceOf(kind, family, [far])])
      const out = node.meet(request, 'podToRemote')
      assert.deepEqual([ends(out.packet), out.target], [way(me, client, far, target), pod1.eni])
      node.meet(request, 'podToRemote')
      const back = node.meet(arrived(far, pod1, kind.answer(target, client)), 'remoteToPod')
      assert.equal(ends(back.packet), way(vip, port, me, client))
      node.meet(next, 'podToRemote')
      const flows = rowsOf(node.world, 'flows').map(({ value }) => [value.way, value.state, value.frontend])
      assert.deepEqual(flows.sort(), [
        [flowWay.direct, flowState.open, 1],
        [flowWay.service, flowState.open, 1],
      ])
      assert.equal(rowsOf(node.world, 'new_flows').length + rowsOf(node.world, 'host_notes').length, 0)
    })

    test(`${of}: a backend on the same node`, () => {
      const node = new Node(machine, [...serviceNode(), ...serviceOf(kind, family, [other])])
      const out = node.meet(request, 'podToPod')
      assert.deepEqual([ends(out.packet), out.target], [way(me, client, other, target), pod2.ifIndex])
      const back = node.meet(sent(pod2, me, kind.answer(target, client)), 'podToPod')
      assert.deepEqual([ends(back.packet), back.target], [way(vip, port, me, client), pod1.ifIndex])
      node.meet(next, 'podToPod')
      node.meet(sent(pod2, me, kind.next(target, client)), 'podToPod')
    })

    test(`${of}: a backend on the node's own network is the host stack's`, () => {
      const node = new Node(machine, [...serviceNode(), ...serviceOf(kind, family, [t.node[family]])])
      assert.equal(ends(node.meet(request, 'podToHost').packet), way(me, client, t.node[family], target))
      const back = node.meet(handed(t.node[family], pod1, kind.answer(target, client), { ingressIfIndex: 0 }), 'hostToPod')
      assert.equal(ends(back.packet), way(vip, port, me, client))
      node.meet(next, 'podViaHost')
      assert.equal(rowsOf(node.world, 'host_notes').length, 0)
    })

    test(`${of}: a pod that is its own backend`, () => {
      for (const value of [t.everything | mode.service, regular]) {
        const policy = [t.policyOf(pod1, { enforce: 3 })]
        const node = new Node(machine, [...serviceNode(value), ...serviceOf(kind, family, [me]), ...policy])
        const into = node.meet(request, 'hairpin')
        assert.deepEqual([ends(into.packet), into.target], [way(vip, client, me, target), pod1.ifIndex])
        const back = node.meet(sent(pod1, vip, kind.answer(target, client)), 'hairpin')
        assert.equal(ends(back.packet), way(vip, port, me, client))
        node.meet(next, 'hairpin')
        node.meet(sent(pod1, vip, kind.next(target, client)), 'hairpin')
      }
    })

    test(`${of}: a regular node translates, and the host stack carries it`, () => {
      const node = new Node(machine, [...serviceNode(regular), ...serviceOf(kind, family, [far])])
      assert.equal(ends(node.meet(request, 'podViaHost').packet), way(me, client, far, target))
      assert.equal(ends(node.meet(handed(far, pod1, kind.answer(target, client)), 'hostToPod').packet), way(vip, port, me, client))
      node.meet(next, 'podViaHost')
      node.change(...serviceOf(kind, family, [other]))
      const another = sent(pod3, vip, kind.first(client, port))
      assert.equal(ends(node.meet(another, 'podViaHost').packet), way(pod3.ip[family], client, other, target))
      node.meet(handed(pod3.ip[family], pod2, kind.first(client, target)), 'none')
      node.meet(sent(pod2, pod3.ip[family], kind.answer(target, client)), 'none')
      const back = node.meet(handed(other, pod3, kind.answer(target, client)), 'hostToPod')
      assert.equal(ends(back.packet), way(vip, port, pod3.ip[family], client))
    })

    test(`${of}: a regular node remembers nothing of what is no Service's`, () => {
      const node = new Node(machine, [...serviceNode(regular), ...serviceOf(kind, family, [far])])
      const before = node.world
      node.meet(sent(pod1, other, kind.first(client, port)), 'none')
      node.meet(sent(pod1, t.node[family], kind.first(client, port)), 'none')
      node.meet(handed(far, pod1, kind.first(client, port)), 'none')
      node.meet(arrived(far, pod1, kind.first(client, port)), 'uncounted')
      assert.deepEqual(node.world, before)
    })

    test(`${of}: what no Service has is dropped, and leaves no trace`, () => {
      for (const value of [t.everything | mode.service, regular]) {
        const node = new Node(machine, [...serviceNode(value), ...serviceOf(kind, family, [far])])
        const before = node.world
        node.meet(sent(pod1, vip, kind.first(client, port + 1)), 'service-unknown')
        node.meet(sent(pod1, parseIp(family === 4 ? '10.96.7.7' : 'fd00:96::77'), kind.first(client, port)), 'service-unknown')
        assert.deepEqual(node.world, before)
        node.meet(sent(pod1, vip, echo('request', 7)), value === regular ? 'none' : 'podToHost')
      }
    })

    test(`${of}: where Services are not ours, choices mean nothing`, () => {
      const node = new Node(machine, [...serviceNode(), ...serviceOf(kind, family, [far])])
      node.meet(request, 'podToRemote')
      node.change(t.modeIs(t.everything))
      node.meet(next, 'podToHost')
      node.meet(next, 'podViaHost')
      node.meet(handed(vip, pod1, kind.answer(port, client)), 'hostToPod')
    })

    test(`${of}: outside the cluster's own addresses, by an address of the world`, () => {
      const rows = serviceOf(kind, family, [far], { ip: t.otherRemote[family] })
      const node = new Node(machine, [...serviceNode(), ...rows])
      const out = node.meet(sent(pod1, t.otherRemote[family], kind.first(client, port)), 'podToRemote')
      assert.equal(ends(out.packet), way(me, client, far, target))
      const back = node.meet(arrived(far, pod1, kind.answer(target, client)), 'remoteToPod')
      assert.equal(ends(back.packet), way(t.otherRemote[family], port, me, client))
      // Another port of it is somebody else's.
      node.meet(sent(pod1, t.otherRemote[family], kind.first(client, port + 1)), 'podToRemote')
      // And who comes from outside has entries of his own.
      node.change(...serviceIs({ ip: vip, port: port + 2, protocol: kind.protocol, scope: 'outside', frontend: 2, set: 1 }))
      node.meet(sent(pod1, vip, kind.first(client, port + 2)), 'service-unknown')
    })

    test(`${of}: only who may come`, () => {
      const rows = serviceOf(kind, family, [far], { flags: ['sourceRanges'] })
      const node = new Node(machine, [...serviceNode(), ...rows, rangeOf(1, other, family === 4 ? 32 : 128), rangeOf(2, me, 8)])
      node.meet(request, 'service-source-range')
      node.meet(sent(pod2, vip, kind.first(client, port)), 'podToRemote')
      const range = rangeOf(1, me, family === 4 ? 24 : 64)
      node.change(range)
      node.meet(request, 'podToRemote')
      // It is asked for what begins, not for what goes on.
      node.change({ ...range, value: undefined })
      node.meet(next, 'podToRemote')
      node.meet(sent(pod1, vip, kind.first(client + 1, port)), 'service-source-range')
    })
  }

  test(`IPv${family}: one port for two protocols`, () => {
    const both = [kinds.TCP, { ...kinds.UDP, port: 80, target: 8080 }]
    const rows = both.flatMap((kind, i) => [
      ...serviceIs({ ip: service[family], port: 80, protocol: kind.protocol, frontend: 1 + i, set: 1 + i }),
      ...backendsAt(kind, [[remote, t.otherRemote][i]?.[family] ?? remote[family]], 1 + i).map(backendIs),
      ...setIs(1 + i, [1 + i]),
    ])
    const node = new Node(machine, [...serviceNode(), ...rows])
    for (const [i, kind] of both.entries()) {
      const out = node.meet(sent(pod1, service[family], kind.first(client, 80)), 'podToRemote')
      const backend = i === 0 ? remote : t.otherRemote
      assert.equal(ends(out.packet), way(pod1.ip[family], client, backend[family], 8080))
      const back = node.meet(arrived(backend[family], pod1, kind.answer(8080, client)), 'remoteToPod')
      assert.equal(ends(back.packet), way(service[family], 80, pod1.ip[family], client))
    }
  })

  test(`IPv${family}: for a minute of learning what goes on in the middle is left alone`, () => {
    const learning = t.everything | mode.service | mode.learn
    const node = new Node(machine, [...serviceNode(learning), ...serviceOf(kinds.TCP, family, [remote[family]])])
    const middle = sent(pod1, service[family], tcp(client, 80, 'A'))
    assert.equal(ends(node.meet(middle, 'podToHost').packet), way(pod1.ip[family], client, service[family], 80))
    node.meet(sent(pod1, service[family], tcp(client, 81, 'A')), 'podToHost')
    node.meet(sent(pod1, service[family], tcp(client + 1, 80, 'S')), 'podToRemote')
    node.meet(sent(pod1, service[family], tcp(client + 1, 80, 'A')), 'podToRemote')
    const datagrams = new Node(machine, [...serviceNode(learning), ...serviceOf(kinds.UDP, family, [remote[family]])])
    datagrams.meet(sent(pod1, service[family], kinds.UDP.first(client, 53)), 'podViaHost')
    datagrams.meet(arrived(remote[family], pod1, kinds.UDP.answer(5353, client)), 'remoteViaHost')
    const back = datagrams.meet(handed(remote[family], pod1, kinds.UDP.answer(5353, client)), 'hostToPod')
    assert.equal(ends(back.packet), way(service[family], 53, pod1.ip[family], client))
  })
}
