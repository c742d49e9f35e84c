// SPDX-License-Identifier: Apache-2.0
import { after, test } from 'node:test'
import { mode } from '#kernel/bpf/words.ts'
import { parseIp } from '#net/ip.ts'
import { parseMac } from '#net/mac.ts'
import { framed, icmp, icmpError, ipPacket, raw, tcp, udp } from '../build.ts'
import { type Fate, Node } from '../node.ts'
import { Machine } from '../run.ts'
import * as t from '../topology.ts'

const machine = new Machine()
after(() => machine[Symbol.dispose]())
const { families, nodeRows, pod1, pod2, sent, arrived, handed, remote } = t
const from = (source: string, to: string, segment = udp(1, 2)): t.Packet => ({
  program: 'pod_in',
  arrival: { ifIndex: pod1.ifIndex, packet: framed(pod1.mac, pod1.hostMac, ipPacket(parseIp(source), parseIp(to), segment)) },
})

const sources: readonly (readonly [string, string, Fate, Fate])[] = [
  // source, destination, with a guard, without
  ['10.0.1.11', '198.51.100.1', 'podToRemote', 'podToRemote'],
  ['10.0.1.12', '198.51.100.1', 'spoofed-source', 'none'],
  ['0.0.0.0', '255.255.255.255', 'spoofed-source', 'none'],
  ['169.254.1.1', '169.254.1.2', 'spoofed-source', 'none'],
  ['fd00:1::11', '2001:db8:ffff::1', 'podToRemote', 'podToRemote'],
  ['fd00:1::12', '2001:db8:ffff::1', 'spoofed-source', 'none'],
  ['fe80::1', 'ff02::2', 'none', 'none'],
  ['fe80::1', 'fe80::2', 'none', 'none'],
  ['febf::1', 'fe80::2', 'none', 'none'],
  ['fec0::1', 'fe80::2', 'spoofed-source', 'none'],
  ['fe80::1', 'fd00:1::12', 'spoofed-source', 'none'],
  ['::', 'ff02::1:ff00:11', 'none', 'none'],
  ['::', '2001:db8:ffff::1', 'spoofed-source', 'none'],
  ['::ffff:10.0.1.11', '2001:db8:ffff::1', 'malformed', 'malformed'],
  ['fd00:1::11', '::ffff:10.0.1.12', 'malformed', 'malformed'],
]
for (const [source, to, guarded, open] of sources) {
  test(`from ${source} to ${to}: ${guarded} with a guard, ${open} without`, () => {
    new Node(machine, nodeRows()).meet(from(source, to), guarded)
    new Node(machine, [...nodeRows(), t.modeIs(mode.forward)]).meet(from(source, to), open)
    new Node(machine, [...nodeRows(), t.modeIs(mode.guard)]).meet(from(source, to), guarded === 'podToRemote' ? 'none' : guarded)
  })
}

test('a source is nobody’s own when the endpoint has no address of its family', () => {
  const node = new Node(machine, [...nodeRows(), t.endpointOf(pod1, { address4: undefined, address6: undefined })])
  for (const source of ['0.0.0.0', '10.0.1.11']) node.meet(from(source, '198.51.100.1'), 'spoofed-source')
  for (const source of ['::', 'fd00:1::11']) node.meet(from(source, '2001:db8:ffff::1'), 'spoofed-source')
  node.change(t.modeIs(mode.forward))
  for (const source of ['0.0.0.0', '10.0.1.11']) node.meet(from(source, '198.51.100.1'), 'none')
  for (const source of ['::', 'fd00:1::11']) node.meet(from(source, '2001:db8:ffff::1'), 'none')
})

for (const family of families) {
  test(`IPv${family}: another MAC than the pod’s`, () => {
    const node = new Node(machine, nodeRows())
    const packet = sent(pod1, remote[family], udp(1, 2), { fromMac: parseMac('02:00:00:00:00:99') })
    node.meet(packet, 'spoofed-mac')
    node.change(t.modeIs(mode.forward))
    node.meet(packet, 'podToRemote')
  })

  test(`IPv${family}: broken packets at each program`, () => {
    const node = new Node(machine, nodeRows())
    const break_ = (packet: t.Packet, edit: (bytes: Buffer) => Buffer): t.Packet => ({
      ...packet,
      arrival: { ...packet.arrival, packet: edit(Buffer.from(packet.arrival.packet)) },
    })
    const l4 = family === 4 ? 34 : 54
    const at =
      (offset: number, ...values: number[]) =>
      (bytes: Buffer) => {
        bytes.set(values, offset)
        return bytes
      }
    /** Cut, and with lengths that agree. */
    const cut = (length: number) => (bytes: Buffer) => {
      bytes.writeUInt16BE(family === 4 ? length - 14 : length - 54, family === 4 ? 16 : 18)
      return bytes.subarray(0, length)
    }
    const edits = [
      at(14, family === 4 ? 0x65 : 0x40),
      ...(family === 4 ? [at(14, 0x44), at(14, 0x4f), at(16, 0xff, 0xff), at(16, 0, 19)] : [at(18, 0xff, 0xff)]),
      ...[2, 3, 13].map(n => cut(l4 + n)),
    ]
    for (const edit of edits) {
      for (const packet of [
        sent(pod1, remote[family], tcp(1, 2, 'S')),
        arrived(remote[family], pod1, tcp(1, 2, 'S')),
        handed(remote[family], pod1, tcp(1, 2, 'S')),
      ])
        node.meet(break_(packet, edit), 'malformed')
    }
    node.meet(break_(sent(pod1, remote[family], udp(1, 2)), cut(l4 + 3)), 'malformed')
    node.meet(break_(sent(pod1, remote[family], udp(1, 2)), cut(l4 + 4)), 'podToRemote')
    node.meet(break_(sent(pod1, remote[family], icmp(200, 0)), cut(l4 + 1)), 'malformed')
    node.meet(break_(sent(pod1, remote[family], icmp(family === 4 ? 8 : 128, 0)), cut(l4 + 5)), 'malformed')
    node.meet(
      break_(sent(pod1, remote[family], raw(99, Buffer.alloc(0))), bytes => Buffer.concat([bytes, Buffer.alloc(20)])),
      'podToRemote',
    )
    node.meet(break_(arrived(t.otherRemote[family], pod1, udp(1, 2), { ifIndex: pod2.eni }), cut(l4 + 2)), 'none')
  })

  test(`IPv${family}: an ICMP error is about a flow of the pod, when its policy is enforced`, () => {
    const rows = [
      ...nodeRows(),
      t.policyOf(pod1, { enforce: 3 }),
      t.ruleOf({ prefixLength: 72, direction: 1 }),
      t.ruleOf({ prefixLength: 72, direction: 2 }),
    ]
    const unreachable = family === 4 ? 3 : 1
    const out = ipPacket(pod1.ip[family], remote[family], udp(40000, 53))
    const back = ipPacket(remote[family], pod1.ip[family], udp(53, 40000))
    const about = (packet: Buffer) => icmpError(unreachable, 1, packet)
    const node = new Node(machine, rows)
    node.meet(arrived(t.otherRemote[family], pod1, about(out)), 'icmp-unrelated')
    node.meet(sent(pod1, remote[family], about(back)), 'icmp-unrelated')
    node.meet(sent(pod1, remote[family], udp(40000, 53)), 'podToRemote')
    node.meet(arrived(t.otherRemote[family], pod1, about(out)), 'remoteToPod')
    node.meet(arrived(t.otherRemote[family], pod1, about(back)), 'icmp-unrelated')
    node.meet(sent(pod1, remote[family], about(back)), 'podToRemote')
    node.meet(sent(pod1, remote[family], about(back.subarray(0, family === 4 ? 20 : 40))), 'icmp-unrelated')
    node.meet(handed(remote[family], pod1, about(out)), 'icmpError')
    // By way of the host stack only the port is known.
    node.meet(sent(pod1, t.service[family], udp(40001, 53)), 'podToHost')
    node.meet(arrived(remote[family], pod1, about(ipPacket(pod1.ip[family], remote[family], udp(40001, 5353)))), 'icmpError')
    // An endpoint that lost the address has no flows of it any more.
    node.change(t.endpointOf(pod1, { address4: undefined, address6: undefined }))
    node.meet(arrived(remote[family], pod1, about(out)), 'icmp-unrelated')
    // Whose policy is not enforced gets them all, and those about a direct flow past the host stack.
    node.meet(sent(pod2, remote[family], udp(8, 8)), 'podToRemote')
    node.meet(arrived(remote[family], pod2, about(ipPacket(pod2.ip[family], remote[family], udp(8, 8)))), 'remoteToPod')
    node.meet(arrived(remote[family], pod2, about(ipPacket(pod2.ip[family], remote[family], udp(9, 9)))), 'icmpError')
  })
}

test('IPv6: an ICMP error about a packet that is cut off among its extension headers is about no flow', () => {
  const node = new Node(machine, [...nodeRows(), t.policyOf(pod1, { enforce: 3 }), t.ruleOf({ prefixLength: 72, direction: 2 })])
  // Hop-by-hop headers that are followed by another one: four are read, and the protocol is theirs.
  const chain = (headers: number) => raw(0, Buffer.alloc(8 * headers))
  const about = (headers: number) => icmpError(1, 0, ipPacket(remote[6], pod1.ip[6], chain(headers)))
  node.meet(sent(pod1, remote[6], chain(5)), 'podToRemote')
  node.meet(sent(pod1, remote[6], about(5)), 'podToRemote')
  node.meet(sent(pod1, remote[6], about(1)), 'icmp-unrelated')
})
