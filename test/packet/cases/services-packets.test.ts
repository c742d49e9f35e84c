// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { mode } from '#kernel/bpf/words.ts'
import type { Family, Ip } from '#net/ip.ts'
import { type Extension, type Fragment, icmpError, ipPacket, raw, sctp, tcp, udp } from '../build.ts'
import { client, ends, endsInside, kinds, serviceNode, serviceOf, way } from '../exchange.ts'
import { Node } from '../node.ts'
import { Machine } from '../run.ts'
import * as t from '../topology.ts'
import { row, rowsOf } from '../world.ts'

/** Every kind of packet through a translation. That checksums stay right is looked after with each of them. */
const machine = new Machine()
after(() => machine[Symbol.dispose]())
const { families, pod1, pod2, sent, arrived, handed, remote, service } = t
const regular = mode.guard | mode.service

const edited = (packet: t.Packet, edit: (bytes: Buffer) => Buffer): t.Packet => ({
  ...packet,
  arrival: { ...packet.arrival, packet: edit(Buffer.from(packet.arrival.packet)) },
})
/** Cut, with lengths that agree. */
const cut = (family: Family, length: number) => (bytes: Buffer) => {
  bytes.writeUInt16BE(family === 4 ? length - 14 : length - 54, family === 4 ? 16 : 18)
  return bytes.subarray(0, length)
}

for (const family of families) {
  const v = `IPv${family}`
  const [me, far, vip] = [pod1.ip[family], remote[family], service[family]]
  const l3 = family === 4 ? 20 : 40
  const l4 = 14 + l3
  const opened = (kind: (typeof kinds)[keyof typeof kinds], value = t.everything | mode.service, to: Ip = far) => {
    const node = new Node(machine, [...serviceNode(value), ...serviceOf(kind, family, [to])])
    return node
  }

  const part = (offset: number, more: boolean, id = 7): { fragment: Fragment } => ({ fragment: { id, offset, more } })
  for (const kind of Object.values(kinds)) {
    const of = `${v} ${kind.name}`
    const { port, target, protocol } = kind
    const rest = raw(protocol, Buffer.alloc(24, 7))

    test(`${of}: fragments are translated by their first`, () => {
      const node = opened(kind)
      node.meet(sent(pod1, vip, rest, part(3, false)), 'fragment-without-first')
      const first = node.meet(sent(pod1, vip, kind.first(client, port), part(0, true)), 'podToRemote')
      assert.equal(ends(first.packet), way(me, client, far, target))
      const later = node.meet(sent(pod1, vip, rest, part(3, true)), 'podToRemote')
      assert.equal(ends(later.packet), way(me, 0, far, 0))
      assert.deepEqual(later.packet.subarray(-8), Buffer.alloc(8, 7))
      node.meet(sent(pod1, vip, rest, part(3, false, 8)), 'fragment-without-first')
      node.meet(arrived(far, pod1, rest, part(3, false)), 'fragment-without-first')
      const back = node.meet(arrived(far, pod1, kind.answer(target, client), part(0, true)), 'remoteToPod')
      assert.equal(ends(back.packet), way(vip, port, me, client))
      assert.equal(ends(node.meet(arrived(far, pod1, rest, part(3, false)), 'remoteToPod').packet), way(vip, 0, me, 0))
    })

    test(`${of}: fragments on a regular node, and of a pod to itself`, () => {
      const node = opened(kind, regular)
      node.meet(sent(pod1, vip, rest, part(3, false)), 'none')
      node.meet(sent(pod1, vip, kind.first(client, port), part(0, true)), 'podViaHost')
      assert.equal(ends(node.meet(sent(pod1, vip, rest, part(3, false)), 'podViaHost').packet), way(me, 0, far, 0))
      node.meet(handed(far, pod1, rest, part(3, false)), 'none')
      node.meet(handed(far, pod1, kind.answer(target, client), part(0, true)), 'hostToPod')
      assert.equal(ends(node.meet(handed(far, pod1, rest, part(3, false)), 'hostToPod').packet), way(vip, 0, me, 0))
      const own = opened(kind, regular, me)
      own.meet(sent(pod1, vip, kind.first(client, port), part(0, true)), 'hairpin')
      assert.equal(ends(own.meet(sent(pod1, vip, rest, part(3, false)), 'hairpin').packet), way(vip, 0, me, 0))
      own.meet(sent(pod1, vip, kind.answer(target, client), part(0, true)), 'hairpin')
      assert.equal(ends(own.meet(sent(pod1, vip, rest, part(3, false)), 'hairpin').packet), way(vip, 0, me, 0))
    })

    test(`${of}: options and extension headers stay`, () => {
      const all: readonly Extension[] = [{ header: 0 }, { header: 43, units: 2 }, { header: 60, units: 1 }, { header: 60 }]
      const shape = family === 4 ? { options: Buffer.alloc(40, 1) } : { extensions: all }
      const node = opened(kind)
      const out = node.meet(sent(pod1, vip, kind.first(client, port), shape), 'podToRemote')
      assert.equal(ends(out.packet), way(me, client, far, target))
      const back = node.meet(arrived(far, pod1, kind.answer(target, client), shape), 'remoteToPod')
      assert.equal(ends(back.packet), way(vip, port, me, client))
    })

    test(`${of}: what is too long goes on translated, and comes back so by the host stack`, () => {
      const node = opened(kind)
      const data = Buffer.alloc(1600, 3)
      const long = (from: number, to: number) =>
        kind.name === 'TCP' ? tcp(from, to, 'A', { data }) : kind.name === 'UDP' ? udp(from, to, data) : sctp(from, to, data)
      assert.equal(ends(node.meet(sent(pod1, vip, long(client, port)), 'tooLong').packet), way(me, client, far, target))
      assert.equal(ends(node.meet(arrived(far, pod1, long(target, client)), 'tooLong').packet), way(far, target, me, client))
      const counted = rowsOf(node.world, 'flows').map(({ value }) => value.rxPackets)
      assert.equal(ends(node.meet(handed(far, pod1, long(target, client)), 'hostToPod').packet), way(vip, port, me, client))
      assert.deepEqual(
        rowsOf(node.world, 'flows').map(({ value }) => value.rxPackets),
        counted,
      )
    })

    test(`${of}: an error about what the network saw tells what the pod sent`, () => {
      const router = t.otherRemote[family]
      const carried = ipPacket(me, far, kind.next(client, target))
      const about = (bytes: Buffer) => icmpError(family === 4 ? 3 : 2, family === 4 ? 4 : 0, bytes)
      for (const value of [t.everything | mode.service, regular]) {
        const node = opened(kind, value)
        node.meet(sent(pod1, vip, kind.first(client, port)), value === regular ? 'podViaHost' : 'podToRemote')
        for (const bytes of [carried, carried.subarray(0, l3 + 8), carried.subarray(0, l3 + 5)]) {
          const told = [node.meet(handed(router, pod1, about(bytes)), 'icmpError')]
          if (value !== regular) told.push(node.meet(arrived(router, pod1, about(bytes)), 'remoteToPod'))
          for (const { packet } of told) {
            assert.equal(ends(packet), way(router, 0, me, 0))
            assert.equal(endsInside(packet), way(me, client, vip, port))
          }
        }
        const same = (bytes: Buffer) => {
          if (value !== regular) node.meet(arrived(router, pod1, about(bytes)), 'icmpError')
          const packet = handed(router, pod1, about(bytes))
          assert.deepEqual(node.meet(packet, 'icmpError').packet, packet.arrival.packet)
        }
        same(carried.subarray(0, l3 - 4))
        same(carried.subarray(0, l3))
        same(ipPacket(me, far, kind.next(client + 1, target)))
        same(ipPacket(pod2.ip[family], far, kind.next(client, target)))
        node.change({ ...row('frontends', { frontend: 1 }, {}), value: undefined })
        node.meet(handed(router, pod1, about(carried)), 'service-translation-failed')
        if (value !== regular) node.meet(arrived(router, pod1, about(carried)), 'service-translation-failed')
        node.change(t.modeIs(t.everything))
        same(carried)
      }
    })

    test(`${of}: an answer that has lost its frontend`, () => {
      const node = opened(kind)
      node.meet(sent(pod1, vip, kind.first(client, port)), 'podToRemote')
      node.change({ ...row('frontends', { frontend: 1 }, {}), value: undefined })
      node.meet(arrived(far, pod1, kind.answer(target, client)), 'service-translation-failed')
      node.change(t.modeIs(regular))
      node.meet(handed(far, pod1, kind.answer(target, client)), 'service-translation-failed')
      const here = opened(kind, t.everything | mode.service, pod2.ip[family])
      here.meet(sent(pod1, vip, kind.first(client, port)), 'podToPod')
      here.change({ ...row('frontends', { frontend: 1 }, {}), value: undefined })
      here.meet(sent(pod2, me, kind.answer(target, client)), 'service-translation-failed')
    })
  }

  test(`${v}: a packet that is segmented later is translated whole`, () => {
    const node = opened(kinds.TCP)
    const many = tcp(client, 80, 'A', { data: Buffer.alloc(2900, 5), options: Buffer.alloc(12, 1) })
    const gsoSize = 1500 - l3 - 32
    assert.equal(ends(node.meet(sent(pod1, vip, many, { gsoSize }), 'podToRemote').packet, gsoSize), way(me, client, far, 8080))
    node.meet(sent(pod1, vip, many, { gsoSize: gsoSize + 1 }), 'tooLong')
    const back = tcp(8080, client, 'A', { data: Buffer.alloc(2900, 5) })
    const { packet } = node.meet(arrived(far, pod1, back, { gsoSize: 1400 }), 'remoteToPod')
    assert.equal(ends(packet, 1400), way(vip, 80, me, client))
    const datagrams = opened(kinds.UDP)
    datagrams.meet(sent(pod1, vip, udp(client, 53, Buffer.alloc(2900)), { gsoSize: 1400 }), 'podToRemote')
  })

  test(`${v}: UDP without a checksum has none afterwards, and a sum of 0 is written as 65535`, () => {
    const node = opened(kinds.UDP)
    const at = l4 + 6
    const none = edited(sent(pod1, vip, udp(client, 53)), bytes => {
      bytes.writeUInt16BE(0, at)
      return bytes
    })
    assert.equal(node.meet(none, 'podToRemote').packet.readUInt16BE(at), 0)
    // Data that bring the sum afterwards to 0.
    const blank = ipPacket(me, far, udp(client, 5353, Buffer.alloc(2))).readUInt16BE(l3 + 6)
    const data = Buffer.alloc(2)
    data.writeUInt16BE(blank)
    const { packet } = node.meet(sent(pod1, vip, udp(client, 53, data)), 'podToRemote')
    assert.equal(packet.readUInt16BE(at), 0xffff)
  })

  test(`${v}: a wrong checksum stays wrong`, () => {
    for (const kind of [kinds.TCP, kinds.UDP]) {
      const wrong = edited(sent(pod1, vip, kind.first(client, kind.port)), bytes => {
        const at = l4 + (kind.name === 'TCP' ? 16 : 6)
        bytes.writeUInt16BE((bytes.readUInt16BE(at) + 77) & 0xffff, at)
        return bytes
      })
      opened(kind).meet(wrong, 'podToRemote')
    }
  })

  test(`${v}: what cannot be translated is dropped`, () => {
    const failed = 'service-translation-failed'
    opened(kinds.TCP).meet(edited(sent(pod1, vip, tcp(client, 80, 'S')), cut(family, l4 + 15)), failed)
    opened(kinds.UDP).meet(edited(sent(pod1, vip, udp(client, 53)), cut(family, l4 + 4)), failed)
    opened({ ...kinds.SCTP, target: 7 } as unknown as typeof kinds.SCTP).meet(sent(pod1, vip, sctp(client, 9899)), failed)
  })

  test(`${v}: a pod whose ingress is shaped gets its answers through its queue`, () => {
    const node = new Node(machine, [...serviceNode(), ...serviceOf(kinds.TCP, family, [far]), t.endpointOf(pod1, { flags: 1 })])
    node.meet(sent(pod1, vip, tcp(client, 80, 'S')), 'podToRemote')
    const back = node.meet(arrived(far, pod1, tcp(8080, client, 'SA')), 'shaped')
    assert.equal(ends(back.packet), way(vip, 80, me, client))
    const own = new Node(machine, [...serviceNode(regular), ...serviceOf(kinds.TCP, family, [me]), t.endpointOf(pod1, { flags: 1 })])
    own.meet(sent(pod1, vip, tcp(client, 80, 'S')), 'shaped')
  })
}
