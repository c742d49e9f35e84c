// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { mode, ownMark } from '#kernel/bpf/words.ts'
import { parseIp } from '#net/ip.ts'
import { checksum, ipPacket, raw, type Segment, sctp, tcp, udp } from '../build.ts'
import { client, ends, endsInside, kinds, serviceNode, serviceOf, way } from '../exchange.ts'
import { Node } from '../node.ts'
import { Machine } from '../run.ts'
import * as t from '../topology.ts'

/** A Service that nobody serves: its clients are told. */
const machine = new Machine()
after(() => machine[Symbol.dispose]())
const { families, pod1, sent, handed, service } = t
const without = 'service-without-backend'

for (const family of families) {
  const v = `IPv${family}`
  const [vip, me] = [service[family], pod1.ip[family]]
  const l4 = family === 4 ? 34 : 54
  const nodeOf = (kind: (typeof kinds)[keyof typeof kinds], more = {}) =>
    new Node(machine, [...serviceNode(), ...serviceOf(kind, family, [], more)])

  const resets: readonly (readonly [string, Segment, number, number, number])[] = [
    // flags, the packet; sequence, acknowledgement and flags of the reset
    ['S', tcp(client, 80, 'S'), 0, 0x01020305, 0x14],
    ['S with data', tcp(client, 80, 'S', { data: Buffer.alloc(7), options: Buffer.alloc(8, 1) }), 0, 0x0102030c, 0x14],
    ['FS', tcp(client, 80, 'FS'), 0, 0x01020306, 0x14],
    ['F with data', tcp(client, 80, 'F', { data: Buffer.alloc(1000) }), 0, 0x010206ed, 0x14],
    ['A', tcp(client, 80, 'A', { acknowledges: 0x7fffffff, data: Buffer.alloc(5) }), 0x7fffffff, 0, 0x04],
    ['PA', tcp(client, 80, 'PA', { acknowledges: 0xfffffff0 }), 0xfffffff0, 0, 0x04],
  ]
  for (const [name, segment, sequence, acknowledges, flags] of resets) {
    test(`${v}: TCP ${name} is reset`, () => {
      for (const value of [t.everything | mode.service, mode.service]) {
        const node = nodeOf(kinds.TCP)
        node.change(t.modeIs(value))
        const before = node.world
        const { packet, target, mark, verdict } = node.meet(sent(pod1, vip, segment), without)
        assert.deepEqual([verdict, target, mark], ['redirect', pod1.ifIndex, ownMark])
        assert.equal(ends(packet), way(vip, 80, me, client))
        assert.equal(packet.subarray(0, 12).toString('hex'), `${pod1.mac}${pod1.hostMac}`.replaceAll(':', ''))
        const reset = packet.subarray(l4)
        assert.deepEqual([reset.length, reset.readUInt32BE(4), reset.readUInt32BE(8), reset[13]], [20, sequence, acknowledges, flags])
        assert.deepEqual(node.world, before)
        // It comes to the pod through the program at its other side.
        const back = handed(vip, pod1, segment, { mark })
        node.meet({ ...back, arrival: { ...back.arrival, packet } }, 'uncounted')
      }
    })
  }

  for (const [kind, segment] of [
    [kinds.UDP, udp(client, 53, Buffer.from('odd'))],
    [kinds.SCTP, sctp(client, 9899)],
  ] as const) {
    test(`${v}: ${kind.name} is told that the port is unreachable`, () => {
      const { packet, target, mark } = nodeOf(kind).meet(sent(pod1, vip, segment), without)
      assert.deepEqual([target, mark], [pod1.ifIndex, ownMark])
      assert.equal(ends(packet), way(vip, 0, me, 0))
      assert.equal(endsInside(packet), way(me, client, vip, kind.port))
      assert.deepEqual([...packet.subarray(l4, l4 + 2)], family === 4 ? [3, 3] : [1, 4])
      assert.deepEqual(packet.subarray(l4 + 8), ipPacket(me, vip, segment).subarray(0, l4 - 14 + 8))
      if (family === 4) assert.equal(checksum(packet.subarray(l4)), 0)
    })
  }

  test(`${v}: another node may have a backend: dropped in silence`, () => {
    for (const kind of Object.values(kinds)) {
      const { verdict } = nodeOf(kind, { flags: ['local'] }).meet(sent(pod1, vip, kind.first(client, kind.port)), without)
      assert.equal(verdict, 'drop')
    }
  })

  test(`${v}: what gets no answer`, () => {
    const fragment = { fragment: { id: 7, offset: 0, more: true } }
    const later = { fragment: { id: 7, offset: 3, more: false } }
    const silent = (kind: (typeof kinds)[keyof typeof kinds], ...packets: t.Packet[]) => {
      const node = nodeOf(kind)
      for (const packet of packets) assert.equal(node.meet(packet, without).verdict, 'drop')
    }
    silent(
      kinds.TCP,
      sent(pod1, vip, tcp(client, 80, 'R')),
      sent(pod1, vip, tcp(client, 80, 'RA')),
      sent(pod1, vip, tcp(client, 80, 'S'), fragment),
      sent(pod1, vip, raw(6, Buffer.alloc(16)), later),
      sent(pod1, vip, tcp(client, 80, 'A', { data: Buffer.alloc(3000) }), { gsoSize: 1400 }),
    )
    silent(kinds.UDP, sent(pod1, vip, udp(client, 53), fragment), sent(pod1, vip, udp(client, 53, Buffer.alloc(3000)), { gsoSize: 1400 }))
    const group = parseIp(family === 4 ? '239.1.1.1' : 'ff05::1')
    const many = new Node(machine, [...serviceNode(), ...serviceOf(kinds.UDP, family, [], { ip: group })])
    assert.equal(many.meet(sent(pod1, group, udp(client, 53)), without).verdict, 'drop')
  })
}
