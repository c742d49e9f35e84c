// SPDX-License-Identifier: Apache-2.0
import { after, test } from 'node:test'
import { type Extension, type Fragment, icmp, raw, sctp, tcp, udp } from '../build.ts'
import { Node } from '../node.ts'
import { Machine } from '../run.ts'
import * as t from '../topology.ts'

const machine = new Machine()
after(() => machine[Symbol.dispose]())
const { families, nodeRows, pod1, pod2, sent, arrived, handed, remote } = t

for (const family of families) {
  const v = `IPv${family}`
  const l3 = family === 4 ? 20 : 40

  test(`${v}: what fits goes, one byte more is the host stack's`, () => {
    const node = new Node(machine, [...nodeRows(), t.endpointOf(pod1, { mtu: 1400, outMtu: 1450 }), t.endpointOf(pod2, { mtu: 1300 })])
    const of = (size: number) => udp(40000, 53, Buffer.alloc(size - l3 - 8))
    node.meet(sent(pod1, remote[family], of(1450)), 'podToRemote')
    node.meet(sent(pod1, remote[family], of(1451)), 'tooLong')
    node.meet(arrived(remote[family], pod1, of(1400)), 'remoteToPod')
    node.meet(arrived(remote[family], pod1, of(1401)), 'tooLong')
    node.meet(sent(pod1, pod2.ip[family], of(1300)), 'podToPod')
    node.meet(sent(pod1, pod2.ip[family], of(1301)), 'tooLong')
    node.meet(sent(pod1, t.service[family], of(1600)), 'podToHost')
  })

  test(`${v}: of a packet that is segmented later, one segment counts`, () => {
    const node = new Node(machine, nodeRows())
    const data = Buffer.alloc(2900)
    const many = tcp(40000, 80, 'A', { data, options: Buffer.alloc(12, 1) })
    const most = 1500 - l3 - 32
    node.meet(sent(pod1, remote[family], many, { gsoSize: most }), 'podToRemote')
    node.meet(sent(pod1, remote[family], many, { gsoSize: most + 1 }), 'tooLong')
    node.meet(arrived(remote[family], pod1, tcp(80, 40000, 'A', { data }), { gsoSize: 1500 - l3 - 20 }), 'remoteToPod')
    node.meet(arrived(remote[family], pod1, tcp(80, 40000, 'A', { data }), { gsoSize: 1501 - l3 - 20 }), 'tooLong')
    node.meet(sent(pod1, remote[family], udp(1, 2, data), { gsoSize: 1500 - l3 - 8 }), 'podToRemote')
    node.meet(sent(pod1, remote[family], udp(1, 2, data), { gsoSize: 1501 - l3 - 8 }), 'tooLong')
  })

  const part = (offset: number, more: boolean, id = 7): { fragment: Fragment } => ({ fragment: { id, offset, more } })
  for (const [name, segment] of Object.entries({
    TCP: tcp(40000, 80, 'A'),
    UDP: udp(40000, 80),
    SCTP: sctp(40000, 80),
    other: raw(47, Buffer.alloc(8)),
  })) {
    test(`${v} ${name}: a later fragment goes the way of its first, and without one nowhere`, () => {
      const node = new Node(machine, nodeRows())
      const rest = raw(segment.protocol(family), Buffer.alloc(16))
      node.meet(sent(pod1, remote[family], rest, part(3, false)), 'fragment-without-first')
      node.meet(sent(pod1, remote[family], segment, part(0, true)), 'podToRemote')
      node.meet(sent(pod1, remote[family], rest, part(3, true)), 'podToRemote')
      node.meet(sent(pod1, remote[family], rest, part(5, false)), 'podToRemote')
      node.meet(sent(pod1, remote[family], rest, part(5, false, 8)), 'fragment-without-first')
      node.meet(arrived(remote[family], pod1, rest, part(5, false)), 'fragment-without-first')
      node.meet(arrived(remote[family], pod1, segment, part(0, true)), 'remoteToPod')
      node.meet(arrived(remote[family], pod1, rest, part(5, false)), 'remoteToPod')
      node.meet(handed(t.otherRemote[family], pod1, rest, part(5, false)), 'none')
      node.change(t.policyOf(pod1, { enforce: 1 }))
      node.meet(handed(t.otherRemote[family], pod1, rest, part(5, false)), 'fragment-without-first')
      node.meet(handed(t.otherRemote[family], pod1, segment, part(0, true)), name === 'TCP' ? 'hostToPod' : 'policy-ingress')
    })
  }
}

test('IPv4 options are skipped', () => {
  const node = new Node(machine, nodeRows())
  for (const length of [4, 40]) {
    node.meet(sent(pod1, remote[4], tcp(40000, 80, 'S'), { options: Buffer.alloc(length, 1) }), 'podToRemote')
    node.meet(arrived(remote[4], pod1, tcp(80, 40000, 'SA'), { options: Buffer.alloc(length, 1) }), 'remoteToPod')
  }
})

test('four IPv6 extension headers are skipped, behind more is another protocol', () => {
  const node = new Node(machine, nodeRows())
  const all: readonly Extension[] = [{ header: 0 }, { header: 43, units: 2 }, { header: 60, units: 1 }, { header: 60 }]
  for (const n of [1, 2, 3, 4]) node.meet(sent(pod1, remote[6], tcp(40000, 80, 'S'), { extensions: all.slice(0, n) }), 'podToRemote')
  node.meet(sent(pod1, remote[6], tcp(40000, 80, 'S'), { extensions: [...all, { header: 60 }] }), 'podToRemote')
  node.meet(sent(pod1, t.group[6], icmp(135, 0, Buffer.alloc(20)), { extensions: all }), 'none')
  // A fragment header of a packet that is whole.
  node.meet(sent(pod1, remote[6], udp(1, 2), { fragment: { id: 1, offset: 0, more: false } }), 'podToRemote')
})
