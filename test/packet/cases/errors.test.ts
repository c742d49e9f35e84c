// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { flowState, flowWay, mode } from '#kernel/bpf/words.ts'
import type { Ip } from '#net/ip.ts'
import { icmpError, ipPacket, type Segment } from '../build.ts'
import { client, ends, endsInside, kinds, serviceNode, serviceOf, way } from '../exchange.ts'
import { Node } from '../node.ts'
import { Machine } from '../run.ts'
import * as t from '../topology.ts'
import { type Change, row } from '../world.ts'

/** ICMP errors of pods go the way of their flow, past a host stack that never saw it and may drop what it takes for invalid. */
const machine = new Machine()
after(() => machine[Symbol.dispose]())
const { families, pod1, pod2, sent, arrived, remote, service } = t
const gone = (change: Change): Change => ({ ...change, value: undefined })

for (const family of families) {
  const [me, other, far, vip] = [pod1.ip[family], pod2.ip[family], remote[family], service[family]]
  const [type, code] = family === 4 ? ([3, 3] as const) : ([1, 4] as const)
  /** `by` says that it takes no such packet of somebody. */
  const refused = (by: t.Pod, from: Ip, segment: Segment, to = from) =>
    sent(by, to, icmpError(type, code, ipPacket(from, by.ip[family], segment)))
  for (const kind of Object.values(kinds)) {
    const of = `IPv${family} ${kind.name}`
    const { port, target } = kind

    test(`${of}: of what came from elsewhere`, () => {
      const node = new Node(machine, t.nodeRows())
      node.meet(refused(pod1, far, kind.first(client, target)), 'icmpError')
      node.meet(arrived(far, pod1, kind.first(client, target)), 'remoteToPod')
      const { packet, target: device } = node.meet(refused(pod1, far, kind.first(client, target)), 'podToRemote')
      assert.deepEqual([ends(packet), endsInside(packet), device], [way(me, 0, far, 0), way(far, client, me, target), pod1.eni])
      // To somebody else, too long, or nowhere.
      node.meet(refused(pod1, far, kind.first(client, target), other), 'icmpError')
      node.change(t.endpointOf(pod1, { outMtu: packet.length - 15 }))
      node.meet(refused(pod1, far, kind.first(client, target)), 'tooLong')
      node.change(t.endpointOf(pod1, { gateway4: undefined, gateway6: undefined }))
      node.meet(refused(pod1, far, kind.first(client, target)), 'none')
    })

    test(`${of}: of what came from another pod here, by a Service or without`, () => {
      for (const asked of [other, vip]) {
        const node = new Node(machine, [...serviceNode(), ...serviceOf(kind, family, [other])])
        const at = asked === vip ? port : target
        node.meet(sent(pod1, asked, kind.first(client, at)), 'podToPod')
        const error = refused(pod2, me, kind.first(client, target))
        const { packet, target: device } = node.meet(error, 'podToPod')
        assert.deepEqual([ends(packet), endsInside(packet), device], [way(other, 0, me, 0), way(me, client, asked, at), pod1.ifIndex])
        node.change(t.endpointOf(pod1, { mtu: packet.length - 15 }))
        node.meet(error, 'icmpError')
        node.change(t.endpointOf(pod1))
        if (asked === vip) {
          node.change(gone(row('frontends', { frontend: 1 }, {})))
          node.meet(error, 'service-translation-failed')
        }
        for (const map of ['flows', 'new_flows'] as const)
          node.change(gone(row(map, { local: me, remote: other, localPort: client, remotePort: target, protocol: kind.protocol }, {})))
        node.meet(error, 'icmpError')
      }
    })

    test(`${of}: of an answer, about what the backend sent`, () => {
      for (const [backend, path] of [
        [far, 'podToRemote'],
        [other, 'podToPod'],
        [t.node[family], 'icmpError'],
      ] as const) {
        const node = new Node(machine, [...serviceNode(), ...serviceOf(kind, family, [backend])])
        node.meet(sent(pod1, vip, kind.first(client, port)), path === 'icmpError' ? 'podToHost' : path)
        const { packet } = node.meet(refused(pod1, vip, kind.answer(port, client)), path)
        assert.deepEqual([ends(packet), endsInside(packet)], [way(me, 0, backend, 0), way(backend, target, me, client)])
      }
      const regular = new Node(machine, [...serviceNode(mode.service), ...serviceOf(kind, family, [far])])
      regular.meet(sent(pod1, vip, kind.first(client, port)), 'podViaHost')
      const { packet } = regular.meet(refused(pod1, vip, kind.answer(port, client)), 'icmpError')
      assert.equal(endsInside(packet), way(far, target, me, client))
    })

    test(`${of}: of a flow that the host stack carries, or that policy denies`, () => {
      const key = { local: me, remote: far, localPort: target, remotePort: client, protocol: kind.protocol }
      for (const flow of [
        { state: flowState.open, way: flowWay.host },
        { state: flowState.denied, way: flowWay.direct },
      ]) {
        const node = new Node(machine, t.nodeRows())
        node.meet(arrived(far, pod1, kind.first(client, target)), 'remoteToPod')
        const { value } = node.world.new_flows?.values().next().value ?? assert.fail()
        node.change(row('new_flows', key, { ...value, ...flow }))
        node.meet(refused(pod1, far, kind.first(client, target)), 'icmpError')
      }
    })
  }
}
