// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import type { Event } from '#kernel/bpf/ring.ts'
import { event } from '#kernel/bpf/structs.ts'
import { dropReasons, eventFlag, hook, mode, path } from '#kernel/bpf/words.ts'
import { parseIp } from '#net/ip.ts'
import { parseMac } from '#net/mac.ts'
import { framed, ipPacket, raw, tcp, udp } from '../build.ts'
import { client, kinds, serviceNode, serviceOf } from '../exchange.ts'
import { type Fate, Node } from '../node.ts'
import { Machine, now } from '../run.ts'
import { serviceIs } from '../services.ts'
import * as t from '../topology.ts'
import { type Change, row } from '../world.ts'

/** What the programs tell those who look. */
const machine = new Machine()
const reader = machine.events()
after(() => {
  reader.close()
  machine[Symbol.dispose]()
})
const { families, pod1, pod2, remote, otherRemote, service, sent, arrived, reached, handed } = t
const monitored = t.modeIs(t.everything | mode.service | mode.monitor)
const sampleIs = (value: number): Change => row('control', { index: 1 }, { value: BigInt(value) })
const nothing = event.decode(Buffer.alloc(event.size))

/** The event of one packet; undefined when there is none. Times are checked here. */
function told(node: Node, packet: t.Packet, fate: Fate): Omit<Event, 'time'> | undefined {
  reader.read()
  const before = process.hrtime.bigint()
  node.meet(packet, fate)
  const { events, lost } = reader.read()
  assert.ok(!lost && events.length <= 1)
  const [one] = events
  if (one === undefined) return undefined
  const { time, ...rest } = one
  assert.ok(before <= time && time <= process.hrtime.bigint(), `${before} ${time}`)
  return rest
}

function wanted(packet: t.Packet, more: Partial<Event>): Omit<Event, 'time'> {
  const { time, ...rest } = { ...nothing, ifIndex: packet.arrival.ifIndex, length: packet.arrival.packet.length, ...more }
  return rest
}

test('nobody looks: nothing is told', () => {
  const kind = kinds.TCP
  const rows = [...serviceNode(), ...serviceOf(kind, 4, [remote[4]]), sampleIs(1)]
  const node = new Node(machine, rows)
  assert.equal(told(node, sent(pod1, service[4], kind.first(client, kind.port)), 'podToRemote'), undefined)
  assert.equal(told(node, sent(pod1, remote[4], udp(1, 2)), 'podToRemote'), undefined)
  const spoofed = sent(pod1, remote[4], udp(1, 2), { fromMac: parseMac('02:00:00:00:00:99') })
  assert.equal(told(node, spoofed, 'spoofed-mac'), undefined)
  assert.equal(machine.untold(), 0n)
})

for (const family of families) {
  const [mine, other] = [pod1.ip[family], pod2.ip[family]]

  test(`IPv${family}: what is dropped is told with its reason, at each hook`, () => {
    const node = new Node(machine, [...serviceNode(), monitored, t.policyOf(pod1, { enforce: 3 })])
    const of = { protocol: 6, tcpFlags: 2, sourcePort: 4000, destinationPort: 80 }
    const out = sent(pod1, remote[family], tcp(4000, 80, 'S'))
    const at = { endpoint: pod1.ifIndex, hook: hook.podIn, source: mine }
    assert.deepEqual(
      told(node, out, 'policy-egress'),
      wanted(out, { ...of, ...at, destination: remote[family], reason: dropReasons['policy-egress'] }),
    )
    assert.deepEqual(
      told(node, out, 'denied-flow'),
      wanted(out, { ...of, ...at, destination: remote[family], reason: dropReasons['denied-flow'] }),
    )
    const into = arrived(remote[family], pod1, tcp(4000, 80, 'S'))
    const coming = { ...of, source: remote[family], destination: mine, reason: dropReasons['policy-ingress'] }
    assert.deepEqual(told(node, into, 'policy-ingress'), wanted(into, { ...coming, hook: hook.eniIn }))
    const over = handed(otherRemote[family], pod1, tcp(4000, 80, 'S'))
    const there = { ...coming, source: otherRemote[family], endpoint: pod1.ifIndex, hook: hook.podOut }
    assert.deepEqual(told(node, over, 'policy-ingress'), wanted(over, there))
  })

  test(`IPv${family}: a guarded source, and a packet that cannot be read`, () => {
    const node = new Node(machine, [...serviceNode(), monitored])
    const spoofed: t.Packet = {
      program: 'pod_in',
      arrival: { ifIndex: pod1.ifIndex, packet: framed(pod1.mac, pod1.hostMac, ipPacket(other, remote[family], udp(1, 2))) },
    }
    const at = { endpoint: pod1.ifIndex, hook: hook.podIn, protocol: 17, sourcePort: 1, destinationPort: 2 }
    const ends = { source: other, destination: remote[family] }
    assert.deepEqual(told(node, spoofed, 'spoofed-source'), wanted(spoofed, { ...at, ...ends, reason: dropReasons['spoofed-source'] }))
    const short = sent(pod1, remote[family], raw(6, Buffer.alloc(4)))
    const read = { ...at, source: mine, destination: remote[family], protocol: 6, sourcePort: 0, destinationPort: 0 }
    assert.deepEqual(told(node, short, 'malformed'), wanted(short, { ...read, reason: dropReasons.malformed }))
  })

  test(`IPv${family}: of what passes only samples are told, with where it went`, () => {
    const node = new Node(machine, [...serviceNode(), monitored])
    const packet = sent(pod1, remote[family], udp(1, 2))
    assert.equal(told(node, packet, 'podToRemote'), undefined)
    node.change(sampleIs(1))
    const at = { endpoint: pod1.ifIndex, hook: hook.podIn, protocol: 17, sourcePort: 1, destinationPort: 2, source: mine }
    const out = { ...at, destination: remote[family], path: path.podToRemote, target: pod1.eni }
    assert.deepEqual(told(node, packet, 'podToRemote'), wanted(packet, out))
    const direct = sent(pod1, other, udp(1, 2))
    const over = { ...at, destination: other, path: path.podToPod, target: pod2.ifIndex }
    assert.deepEqual(told(node, direct, 'podToPod'), wanted(direct, over))
    const answer = arrived(remote[family], pod1, udp(2, 1))
    const back = { hook: hook.eniIn, protocol: 17, sourcePort: 2, destinationPort: 1, source: remote[family], destination: mine }
    assert.deepEqual(told(node, answer, 'remoteToPod'), wanted(answer, { ...back, path: path.remoteToPod, target: pod1.ifIndex }))
    node.change(sampleIs(0))
    assert.equal(told(node, packet, 'podToRemote'), undefined)
  })

  test(`IPv${family}: the first packet of a flow to a Service is told always, as it was translated; its answer is a sample`, () => {
    const kind = kinds.TCP
    const node = new Node(machine, [...serviceNode(), ...serviceOf(kind, family, [remote[family]]), monitored])
    const first = sent(pod1, service[family], kind.first(client, kind.port))
    const ends = { source: mine, sourcePort: client, destination: remote[family], destinationPort: kind.target }
    const of = { endpoint: pod1.ifIndex, hook: hook.podIn, protocol: 6, path: path.podToRemote, target: pod1.eni, frontend: 1 }
    assert.deepEqual(told(node, first, 'podToRemote'), wanted(first, { ...ends, ...of, tcpFlags: 2, flags: eventFlag.first }))
    const answer = arrived(remote[family], pod1, kind.answer(kind.target, client))
    assert.equal(told(node, answer, 'remoteToPod'), undefined)
    assert.equal(told(node, sent(pod1, service[family], kind.next(client, kind.port)), 'podToRemote'), undefined)
    node.change(sampleIs(1))
    const shown = told(node, answer, 'remoteToPod')
    assert.deepEqual([shown?.source, shown?.sourcePort, shown?.frontend, shown?.flags], [service[family], kind.port, 1, 0])
  })

  test(`IPv${family}: a client of the node, and a Service without a backend`, () => {
    const kind = kinds.TCP
    const here = t.node[family]
    const outside = { ip: here, scope: 'outside' } as const
    const node = new Node(machine, [...serviceNode(), ...serviceOf(kind, family, [remote[family]], outside), monitored])
    const first = reached(otherRemote[family], here, kind.first(client, kind.port))
    const seen = told(node, first, 'nodeToRemote')
    assert.deepEqual(
      [seen?.hook, seen?.path, seen?.source, seen?.destination, seen?.destinationPort, seen?.frontend, seen?.flags],
      [hook.nodeIn, path.nodeToRemote, here, remote[family], kind.target, 1, eventFlag.first],
    )
    assert.equal(told(node, reached(otherRemote[family], here, kind.next(client, kind.port)), 'nodeToRemote'), undefined)
    node.change(...serviceIs({ ip: service[family], port: 81, protocol: 6, frontend: 2, set: 2 }))
    const refused = told(node, sent(pod1, service[family], kind.first(client, 81)), 'service-without-backend')
    assert.deepEqual([refused?.reason, refused?.destination], [dropReasons['service-without-backend'], service[family]])
  })
}

test('a flood is told of as often as there is time for, and the rest is counted', () => {
  machine.write([...serviceNode(), monitored])
  reader.read()
  const before = machine.untold()
  const spoofed = framed(pod1.mac, pod1.hostMac, ipPacket(parseIp('10.9.9.9'), remote[4], udp(1, 2)))
  machine.run('pod_in', { ifIndex: pod1.ifIndex, packet: spoofed }, now(), 5000)
  const [{ events }, untold] = [reader.read(), machine.untold() - before]
  assert.equal(BigInt(events.length) + untold, 5000n)
  assert.ok(events.length > 0 && untold > 0n, `${events.length} ${untold}`)
  for (const [i, { time }] of events.entries()) assert.ok(i === 0 || time - (events[i - 1]?.time ?? 0n) >= 100_000n)
})
