// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { addressState, flowTimeout, mode } from '#kernel/bpf/words.ts'
import { parseIp } from '#net/ip.ts'
import { parseMac } from '#net/mac.ts'
import { checksum, echo, icmpError, ipPacket, raw, tcp, udp } from '../build.ts'
import { ago, client, ends, endsInside, kinds, serviceNode, serviceOf, way } from '../exchange.ts'
import { Node } from '../node.ts'
import type { Outcome } from '../oracle/step.ts'
import { Machine } from '../run.ts'
import * as t from '../topology.ts'
import { nodeFlowsOf, row, rowsOf } from '../world.ts'

/** At the node's device: fragments, errors, and all that is nothing of a Service. */
const machine = new Machine()
after(() => machine[Symbol.dispose]())
const { families, node: nodeIp, nodeDevice, otherRemote, pod1, pod3, reached, remote } = t
const router = { 4: parseIp('203.0.113.1'), 6: parseIp('2001:db8:7::1') }

const portOf = ({ packet }: Outcome) => Number(ends(packet).split(' ')[1])
const part = (offset: number, more: boolean, id = 7) => ({ fragment: { id, offset, more } })

for (const family of families) {
  const v = `IPv${family}`
  const [here, far, asker] = [nodeIp[family], remote[family], otherRemote[family]]
  const kind = kinds.UDP
  const { port, target } = kind
  const rowsFor = (ip: typeof here) => [...serviceNode(), ...serviceOf(kind, family, [ip], { ip: here, scope: 'outside' })]
  const request = (more = {}) => reached(asker, here, kind.first(client, port), more)
  const rest = raw(kind.protocol, Buffer.alloc(16, 3))

  for (const [name, backend, fate] of [
    ['a pod', pod1.ip[family], 'nodeToPod'],
    ['the node', here, 'nodeToHost'],
    ['elsewhere', far, 'nodeToRemote'],
  ] as const) {
    test(`${v}: later fragments go with their first, to ${name}`, () => {
      const node = new Node(machine, rowsFor(backend))
      node.meet(reached(asker, here, rest, part(3, false)), 'uncounted')
      const first = ends(node.meet(request(part(0, true)), fate).packet).split(' ')
      for (const more of [part(3, true), part(5, false)]) {
        const later = ends(node.meet(reached(asker, here, rest, more), fate).packet).split(' ')
        assert.deepEqual([later[0], later[3]], [first[0], first[3]])
      }
      node.meet(reached(asker, here, rest, part(5, false, 8)), 'uncounted')
    })
  }

  test(`${v}: a frame for another machine is its own business, one for all may be for us`, () => {
    const node = new Node(machine, rowsFor(far))
    node.meet(request({ toMac: parseMac('02:00:00:00:00:99') }), 'uncounted')
    assert.deepEqual(nodeFlowsOf(node.world), [])
    node.meet(request({ toMac: parseMac('ff:ff:ff:ff:ff:ff') }), 'nodeToRemote')
  })

  test(`${v}: so do those of an answer`, () => {
    const node = new Node(machine, rowsFor(far))
    const at = portOf(node.meet(request(), 'nodeToRemote'))
    node.meet(reached(far, here, rest, part(3, false)), 'uncounted')
    node.meet(reached(far, here, kind.answer(target, at), part(0, true)), 'remoteAnswersClient')
    node.meet(reached(far, here, rest, part(3, false)), 'remoteAnswersClient')
  })

  test(`${v}: a first fragment of others leaves no word of its ports`, () => {
    const node = new Node(machine, rowsFor(far))
    node.meet(reached(asker, here, udp(client, 9), part(0, true)), 'uncounted')
    assert.deepEqual(rowsOf(node.world, 'fragments'), [])
  })

  const errors: readonly (readonly [number, number])[] =
    family === 4
      ? [
          [3, 4],
          [3, 1],
          [11, 0],
        ]
      : [
          [2, 0],
          [1, 0],
          [3, 0],
        ]
  test(`${v}: an error about what the node sent for a client reaches the client, as of what it sent`, () => {
    const node = new Node(machine, rowsFor(far))
    const sent = node.meet(request(), 'nodeToRemote')
    const at = portOf(sent)
    for (const [type, code] of errors) {
      for (const length of [family === 4 ? 28 : 48, sent.packet.length - 14]) {
        const { packet } = node.meet(
          reached(router[family], here, icmpError(type, code, sent.packet.subarray(14, 14 + length))),
          'remoteAnswersClient',
        )
        assert.equal(ends(packet), way(router[family], 0, asker, 0))
        assert.equal(endsInside(packet), way(asker, client, here, port))
        if (family === 4) assert.equal(checksum(packet.subarray(14 + 28, 14 + 48)), 0)
      }
    }
    const about = (segment: typeof rest, from = here, to = far, more = {}) =>
      reached(router[family], here, icmpError(...(errors[0] as [number, number]), ipPacket(from, to, segment)), more)
    node.meet(about(udp(at + 1, target)), 'uncounted')
    node.meet(about(udp(at, target + 1)), 'uncounted')
    node.meet(about(tcp(at, target, 'S')), 'uncounted')
    node.meet(about(udp(at, target), asker), 'uncounted')
    node.meet(about(echo('request', at)), 'uncounted')
    node.meet(about(udp(at, target), here, far, part(0, true)), 'uncounted')
    node.meet(reached(router[family], here, icmpError(3, 1, Buffer.alloc(8))), 'uncounted')
    node.change({ map: 'frontends', key: { frontend: 1 }, value: undefined })
    node.meet(about(udp(at, target)), 'service-translation-failed')
  })

  const tooBig = family === 4 ? ([3, 4] as const) : ([2, 0] as const)
  test(`${v}: an error about an answer reaches the backend, as of what it answered`, () => {
    const regular = t.modeIs(mode.service)
    for (const [backend, fate, path, more = []] of [
      [pod1.ip[family], 'nodeToPod', 'nodeToPod'],
      [pod1.ip[family], 'nodeToPod', 'icmpError', [regular]],
      [pod1.ip[family], 'nodeToPod', 'icmpError', [t.addressOf(pod1, family, { state: addressState.stack })]],
      [here, 'nodeToHost', 'icmpError'],
      [far, 'nodeToRemote', 'nodeToRemote'],
    ] as const) {
      const node = new Node(machine, [...rowsFor(backend), ...more])
      const asked = ends(node.meet(request(), fate).packet).split(' > ')
      const about = ipPacket(here, asker, kind.answer(port, client))
      const error = reached(router[family], here, icmpError(tooBig[0], tooBig[1], about))
      const { packet } = node.meet(error, path)
      assert.equal(endsInside(packet), `${asked[1]} > ${asked[0]}`)
      assert.equal(ends(packet), way(fate === 'nodeToRemote' ? here : router[family], 0, backend, 0))
      node.meet(
        reached(router[family], here, icmpError(tooBig[0], tooBig[1], ipPacket(here, asker, kind.answer(port + 1, client)))),
        'uncounted',
      )
      if (path === 'nodeToPod') {
        node.change(t.endpointOf(pod1, { mtu: error.arrival.packet.length - 15 }))
        node.meet(error, 'icmpError')
      }
      node.change({ map: 'backends', key: { backend: 1 }, value: undefined })
      node.meet(error, 'uncounted')
    }
  })

  test(`${v}: a datagram without a checksum stays one`, () => {
    const node = new Node(machine, rowsFor(far))
    const packet = request()
    const at = 14 + (family === 4 ? 20 : 40) + 6
    packet.arrival.packet.writeUInt16BE(0, at)
    assert.equal(node.meet(packet, 'nodeToRemote').packet.readUInt16BE(at), 0)
  })

  test(`${v}: options, extension headers and packets that are still to be cut are translated`, () => {
    const node = new Node(machine, [...serviceNode(), ...serviceOf(kinds.TCP, family, [far], { ip: here, scope: 'outside' })])
    const big = tcp(client, kinds.TCP.port, 'A', { data: Buffer.alloc(2900, 7) })
    node.meet(reached(asker, here, big, { gsoSize: 1400 }), 'nodeToRemote')
    const long = family === 4 ? { options: Buffer.alloc(8, 1) } : { extensions: [{ header: 0 }, { header: 60, units: 1 }] as const }
    node.meet(reached(asker, here, tcp(client, kinds.TCP.port, 'A'), long), 'nodeToRemote')
  })

  test(`${v}: a pod of this very device gets its packets as from any ENI, when the node forwards`, () => {
    const own = [...rowsFor(far), t.endpointOf(pod3, { outIfIndex: nodeDevice })]
    const node = new Node(machine, own)
    const to = (segment: typeof rest, more = {}) => reached(asker, pod3.ip[family], segment, more)
    node.meet(to(tcp(1, 2, 'S')), 'remoteToPod')
    node.meet(to(echo('request', 5)), 'remoteToPod')
    node.meet(to(rest, part(3, false)), 'fragment-without-first')
    node.meet(to(udp(1, 2), part(0, true)), 'remoteToPod')
    node.meet(to(rest, part(3, false)), 'remoteToPod')
    node.meet(to(icmpError(3, 1, ipPacket(pod3.ip[family], asker, udp(1, 2)))), 'icmpError')
    node.meet(reached(asker, pod1.ip[family], tcp(1, 2, 'S')), 'uncounted')
    node.change(t.modeIs(mode.service))
    node.meet(to(tcp(1, 2, 'S')), 'uncounted')
    // Without Services it is the program of an ENI.
    node.change(t.modeIs(t.everything))
    node.meet(to(tcp(1, 2, 'S')), 'remoteToPod')
    node.meet(reached(asker, here, tcp(1, 2, 'S')), 'none')
    node.meet(request(), 'none')
    node.change(t.modeIs(mode.guard))
    node.meet(request(), 'uncounted')
  })

  test(`${v}: an entry whose time is over says nothing of an answer`, () => {
    const node = new Node(machine, rowsFor(far))
    const at = portOf(node.meet(request(), 'nodeToRemote'))
    for (const { map, key, value } of nodeFlowsOf(node.world)) node.change(row(map, key, { ...value, seen: ago(flowTimeout.new + 1) }))
    node.meet(reached(far, here, kind.answer(target, at)), 'uncounted')
  })
}
