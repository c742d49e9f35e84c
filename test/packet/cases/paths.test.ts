// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { endpointFlag, mode, ownMark } from '#kernel/bpf/words.ts'
import { parseMac } from '#net/mac.ts'
import { checksum, echo, etherTypes, frame, icmp, pseudoHeader, raw, sctp, tcp, udp } from '../build.ts'
import { Node } from '../node.ts'
import { Machine } from '../run.ts'
import * as t from '../topology.ts'

const machine = new Machine()
after(() => machine[Symbol.dispose]())
const { families, nodeRows, pod1, pod2, sent, arrived, handed, remote } = t

/** Each protocol: a first packet, its answer. */
const protocols = {
  TCP: [tcp(40000, 80, 'S'), tcp(80, 40000, 'SA')],
  UDP: [udp(40000, 53), udp(53, 40000)],
  SCTP: [sctp(40000, 9899), sctp(9899, 40000)],
  echo: [echo('request', 7), echo('reply', 7)],
  GRE: [raw(47, Buffer.alloc(8)), raw(47, Buffer.alloc(8))],
} as const

for (const family of families) {
  for (const [name, [first, answer]] of Object.entries(protocols)) {
    const of = `IPv${family} ${name}`

    test(`${of}: a pod and who is far away, past the host stack`, () => {
      const node = new Node(machine, nodeRows())
      const { target } = node.meet(sent(pod1, remote[family], first), 'podToRemote')
      assert.equal(target, pod1.eni)
      const { packet } = node.meet(arrived(remote[family], pod1, answer), 'remoteToPod')
      assert.equal(packet.subarray(0, 12).toString('hex'), `${pod1.mac}${pod1.hostMac}`.replaceAll(':', ''))
      node.meet(sent(pod1, remote[family], first), 'podToRemote')
      const back = new Node(machine, nodeRows())
      back.meet(arrived(remote[family], pod2, first), 'remoteToPod')
      back.meet(sent(pod2, remote[family], answer), 'podToRemote')
    })

    test(`${of}: two pods of the node, each with an entry of its own`, () => {
      const node = new Node(machine, nodeRows())
      const { target } = node.meet(sent(pod1, pod2.ip[family], first), 'podToPod')
      assert.equal(target, pod2.ifIndex)
      node.meet(sent(pod2, pod1.ip[family], answer), 'podToPod')
      node.meet(sent(pod1, pod2.ip[family], first), 'podToPod')
    })

    test(`${of}: what belongs to the host stack goes there, and answers of others come back by it`, () => {
      const node = new Node(machine, nodeRows())
      for (const to of [t.service, t.node, t.localDns, t.hostCidr]) {
        node.meet(sent(pod1, to[family], first), 'podToHost')
        node.meet(sent(pod1, to[family], first), 'podViaHost')
        node.meet(handed(to[family], pod1, answer), 'hostToPod')
      }
      const tracked = name !== 'GRE'
      // A backend of the Service: the host stack translates it back.
      node.meet(arrived(remote[family], pod1, answer), tracked ? 'remoteViaHost' : 'remoteToPod')
    })

    test(`${of}: what the node sends to a pod is answered by the host stack`, () => {
      const node = new Node(machine, nodeRows())
      node.meet(handed(t.node[family], pod1, first, { ingressIfIndex: 0 }), 'hostToPod')
      node.meet(sent(pod1, t.node[family], answer), 'podViaHost')
      node.meet(handed(remote[family], pod1, first), 'hostToPod')
      node.meet(sent(pod1, remote[family], answer), 'podViaHost')
    })

    test(`${of}: a pod that the host stack sent to another answers it there`, () => {
      const node = new Node(machine, nodeRows())
      node.meet(handed(pod1.ip[family], pod2, first, { ingressIfIndex: pod1.ifIndex }), 'hostToPod')
      node.meet(sent(pod2, pod1.ip[family], answer), 'podViaHost')
    })

    test(`${of}: a pod whose ingress is shaped gets it through its queue`, () => {
      const node = new Node(machine, [...nodeRows(), t.endpointOf(pod1, { flags: endpointFlag.shaped })])
      const outcome = node.meet(arrived(remote[family], pod1, first, { mark: 7, time: 99n }), 'shaped')
      assert.deepEqual([outcome.mark, outcome.time, outcome.target], [ownMark, 0n, pod1.ifIndex])
      const through = handed(remote[family], pod1, first, { mark: ownMark })
      assert.equal(node.meet({ ...through, arrival: { ...through.arrival, packet: outcome.packet } }, 'uncounted').mark, 0)
      node.meet(sent(pod2, pod1.ip[family], first), 'shaped')
    })

    test(`${of}: a minute of learning leaves what is not known to begin to the host stack`, () => {
      const node = new Node(machine, [...nodeRows(), t.modeIs(t.everything | mode.learn)])
      node.meet(sent(pod1, remote[family], first), name === 'TCP' ? 'podToRemote' : 'podViaHost')
      node.meet(sent(pod1, pod2.ip[family], first), name === 'TCP' ? 'podToPod' : 'podViaHost')
      node.meet(arrived(remote[family], pod2, first), name === 'TCP' ? 'remoteToPod' : 'remoteViaHost')
      node.meet(arrived(t.otherRemote[family], pod2, answer), 'remoteViaHost')
    })

    test(`${of}: a mode of nothing, or of no forwarding, leaves everything to the host stack`, () => {
      const node = new Node(machine, [...nodeRows(), t.modeIs(0)])
      for (const packet of [sent(pod1, remote[family], first), arrived(remote[family], pod1, first), handed(remote[family], pod1, first)])
        node.meet(packet, 'uncounted')
      assert.equal(node.meet(handed(remote[family], pod1, first, { mark: ownMark }), 'uncounted').mark, 0)
      node.change(t.modeIs(mode.guard))
      node.meet(sent(pod1, remote[family], first), 'none')
      node.meet(arrived(remote[family], pod1, first), 'uncounted')
      node.meet(handed(remote[family], pod1, first), 'uncounted')
    })
  }

  test(`IPv${family}: an address that is left to the host stack is, and none that is not here is an endpoint's`, () => {
    const node = new Node(machine, [...nodeRows(), t.addressOf(pod2, family, { state: 2 })])
    node.meet(sent(pod1, pod2.ip[family], udp(1, 2)), 'podViaHost')
    node.meet(arrived(remote[family], pod2, udp(1, 2)), 'none')
    node.change({ ...t.addressOf(pod2, family), value: undefined })
    node.meet(arrived(remote[family], pod2, udp(1, 2)), 'none')
    node.meet(sent(pod1, pod2.ip[family], udp(3, 4)), 'podToRemote')
    node.change(t.addressOf(pod2, family, { incarnation: 9 }))
    node.meet(arrived(remote[family], pod2, udp(1, 2)), 'none')
    node.meet(sent(pod1, pod2.ip[family], udp(5, 6)), 'podToRemote')
  })

  test(`IPv${family}: a packet on another ENI, at no endpoint, or for another address is left to the host stack`, () => {
    const node = new Node(machine, nodeRows())
    node.meet(arrived(remote[family], pod1, udp(1, 2), { ifIndex: pod2.eni }), 'none')
    node.meet(sent(pod1, remote[family], udp(1, 2), { ifIndex: 14 }), 'none')
    node.meet(handed(remote[family], pod1, udp(1, 2), { ifIndex: 14 }), 'none')
    node.meet(handed(remote[family], pod1, udp(1, 2), { ifIndex: pod2.ifIndex }), 'none')
    node.change(t.endpointOf(pod1, { gateway4: undefined, gateway6: undefined }))
    node.meet(sent(pod1, remote[family], udp(1, 2)), 'none')
  })

  test(`IPv${family}: what is delivered keeps its checksums`, () => {
    const node = new Node(machine, nodeRows())
    const { packet } = node.meet(arrived(remote[family], pod1, tcp(80, 40000, 'S', { data: Buffer.from('odd') })), 'remoteToPod')
    const segment = packet.subarray(family === 4 ? 34 : 54)
    assert.equal(checksum(pseudoHeader(remote[family], pod1.ip[family], 6, segment)), 0)
    if (family === 4) assert.equal(checksum(packet.subarray(14, 34)), 0)
  })
}

test('ARP, VLAN tags without a guard and unknown types are left to the host stack', () => {
  const node = new Node(machine, nodeRows())
  const to = parseMac('ff:ff:ff:ff:ff:ff')
  for (const program of ['pod_in', 'pod_out', 'eni_in'] as const) {
    const ifIndex = program === 'eni_in' ? pod1.eni : pod1.ifIndex
    for (const type of [etherTypes.arp, 0x88cc])
      node.meet({ program, arrival: { ifIndex, packet: frame(pod1.mac, to, type, Buffer.alloc(46)) } }, 'none')
    const tagged = { program, arrival: { ifIndex, packet: frame(pod1.mac, to, etherTypes.vlan, Buffer.alloc(46)) } }
    node.meet(tagged, program === 'pod_in' ? 'malformed' : 'none')
  }
  node.change(t.modeIs(mode.forward))
  node.meet(
    { program: 'pod_in', arrival: { ifIndex: pod1.ifIndex, packet: frame(pod1.mac, to, etherTypes.vlan, Buffer.alloc(46)) } },
    'none',
  )
})

test('neighbour discovery never goes from pod to pod', () => {
  const node = new Node(machine, nodeRows())
  for (const type of [133, 134, 135, 136, 137]) {
    const segment = icmp(type, 0, Buffer.alloc(20))
    node.meet(sent(pod1, pod2.ip[6], segment), 'neighbour-discovery')
    node.meet(sent(pod1, t.group[6], segment), 'none')
    node.meet(arrived(remote[6], pod1, segment), 'none')
    node.meet(handed(remote[6], pod1, segment), 'none')
  }
})
