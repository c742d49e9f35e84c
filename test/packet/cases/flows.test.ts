// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { flowFlag, flowState, flowTimeout, flowWay } from '#kernel/bpf/words.ts'
import type { Family } from '#net/ip.ts'
import { tcp, udp } from '../build.ts'
import { ago } from '../exchange.ts'
import { type Fate, Node } from '../node.ts'
import { Machine, now } from '../run.ts'
import * as t from '../topology.ts'
import { type Change, type RowValue, row, rowsOf } from '../world.ts'

const machine = new Machine()
after(() => machine[Symbol.dispose]())
const { families, nodeRows, pod1, pod2, sent, arrived, handed, remote } = t

function flowOf(family: Family, protocol: number, map: 'flows' | 'new_flows', more: Partial<RowValue<'flows'>>): Change {
  const key = { local: pod1.ip[family], remote: remote[family], localPort: 40000, remotePort: 80, protocol }
  const value = { seen: now(), state: flowState.open, way: flowWay.host, localIncarnation: pod1.incarnation, identity: 2, ...more }
  return row(map, key, value)
}

/** The only flow there is, and where it is. */
function theFlow(node: Node): RowValue<'flows'> & { readonly map: string } {
  const all = (['flows', 'new_flows'] as const).flatMap(map => rowsOf(node.world, map).map(({ value }) => ({ ...value, map })))
  assert.equal(all.length, 1)
  const [flow] = all
  assert.ok(flow)
  return flow
}

for (const family of families) {
  const v = `IPv${family}`
  const data = tcp(40000, 80, 'A')
  const answer = tcp(80, 40000, 'A')

  const ages: readonly (readonly [string, number, Partial<RowValue<'flows'>>, number])[] = [
    ['new', 6, { state: flowState.new }, flowTimeout.new],
    ['open TCP', 6, { state: flowState.open, flags: flowFlag.answered }, flowTimeout.openTcp],
    ['open UDP', 17, { state: flowState.open, flags: flowFlag.answered }, flowTimeout.open],
    ['closing', 6, { state: flowState.closing, flags: flowFlag.answered }, flowTimeout.closing],
  ]
  for (const [name, protocol, value, seconds] of ages) {
    test(`${v}: a flow that is ${name} counts for ${seconds} s`, () => {
      const packet = sent(pod1, remote[family], protocol === 6 ? data : udp(40000, 80))
      // Found, it goes on by the host stack; absent, it is decided anew as a direct one.
      const map = value.state === flowState.new ? 'new_flows' : 'flows'
      const aged = (age: number) => new Node(machine, [...nodeRows(), flowOf(family, protocol, map, { ...value, seen: ago(age) })])
      aged(seconds * 0.8).meet(packet, 'podViaHost')
      aged(-1).meet(packet, 'podViaHost')
      const old = aged(seconds * 1.2)
      old.meet(packet, 'podToRemote')
      assert.equal(theFlow(old).map, 'new_flows')
    })
  }

  test(`${v}: a denied flow stays denied until it is idle`, () => {
    const denied = { state: flowState.denied, reason: 5 }
    const packet = sent(pod1, remote[family], data)
    for (const map of ['flows', 'new_flows'] as const) {
      const node = new Node(machine, [...nodeRows(), flowOf(family, 6, map, { ...denied, seen: ago(45) })])
      node.meet(packet, 'denied-flow')
      node.meet(sent(pod1, remote[family], tcp(40000, 80, 'S')), 'denied-flow')
      node.meet(arrived(remote[family], pod1, answer), 'denied-flow')
      node.meet(handed(remote[family], pod1, answer), 'denied-flow')
      node.meet(handed(remote[family], pod1, answer, { ingressIfIndex: 0 }), 'hostToPod')
    }
    new Node(machine, [...nodeRows(), flowOf(family, 6, 'flows', { ...denied, seen: ago(75) })]).meet(packet, 'podToRemote')
  })

  test(`${v}: an entry of another incarnation is none, of either end`, () => {
    const packet = sent(pod1, remote[family], data)
    new Node(machine, [...nodeRows(), flowOf(family, 6, 'flows', { localIncarnation: 77 })]).meet(packet, 'podToRemote')
    const peer = { peer: pod2.ifIndex, peerIncarnation: 77, way: flowWay.host }
    new Node(machine, [...nodeRows(), flowOf(family, 6, 'flows', peer)]).meet(packet, 'podToRemote')
    const same = { ...peer, peerIncarnation: pod2.incarnation }
    new Node(machine, [...nodeRows(), flowOf(family, 6, 'flows', same)]).meet(packet, 'podViaHost')
    const gone: Change = { ...t.endpointOf(pod2), value: undefined }
    const node = new Node(machine, [...nodeRows(), flowOf(family, 6, 'flows', same)])
    node.change(gone)
    node.meet(packet, 'podToRemote')
  })

  test(`${v}: a stale entry hides no fresh one`, () => {
    const stale = flowOf(family, 6, 'flows', { localIncarnation: 77 })
    const node = new Node(machine, [...nodeRows(), stale, flowOf(family, 6, 'new_flows', { state: flowState.new })])
    node.meet(sent(pod1, remote[family], data), 'podViaHost')
    node.meet(arrived(remote[family], pod1, answer), 'remoteViaHost')
    node.meet(handed(remote[family], pod1, answer), 'hostToPod')
    node.meet(sent(pod1, remote[family], data), 'podViaHost')
    assert.equal(theFlow(node).map, 'flows')
  })

  test(`${v}: the first answer opens a flow, and one of TCP moves when the one who began goes on`, () => {
    const node = new Node(machine, nodeRows())
    node.meet(sent(pod1, remote[family], tcp(40000, 80, 'S')), 'podToRemote')
    node.meet(sent(pod1, remote[family], tcp(40000, 80, 'S')), 'podToRemote')
    assert.deepEqual([theFlow(node).map, theFlow(node).state, theFlow(node).txPackets], ['new_flows', flowState.new, 2])
    node.meet(arrived(remote[family], pod1, tcp(80, 40000, 'SA')), 'remoteToPod')
    assert.deepEqual([theFlow(node).map, theFlow(node).state, theFlow(node).flags], ['new_flows', flowState.open, flowFlag.answered])
    node.meet(arrived(remote[family], pod1, tcp(80, 40000, 'SA')), 'remoteToPod')
    assert.equal(theFlow(node).map, 'new_flows')
    node.meet(sent(pod1, remote[family], data), 'podToRemote')
    assert.deepEqual([theFlow(node).map, theFlow(node).txPackets, theFlow(node).rxPackets], ['flows', 3, 2])
  })

  test(`${v}: whoever only asks stays where others that are new can take its place, whatever the answer is`, () => {
    for (const [answer, ask] of [
      ['RA', 'S'],
      ['SA', 'R'],
    ] as const) {
      const node = new Node(machine, nodeRows())
      node.meet(arrived(remote[family], pod1, tcp(80, 40000, 'S')), 'remoteToPod')
      node.meet(sent(pod1, remote[family], tcp(40000, 80, answer)), 'podToRemote')
      node.meet(arrived(remote[family], pod1, tcp(80, 40000, ask)), 'remoteToPod')
      assert.equal(theFlow(node).map, 'new_flows')
    }
  })

  test(`${v}: a FIN of each side, or one RST, closes`, () => {
    const node = new Node(machine, nodeRows())
    node.meet(sent(pod1, remote[family], tcp(40000, 80, 'S')), 'podToRemote')
    node.meet(arrived(remote[family], pod1, tcp(80, 40000, 'SA')), 'remoteToPod')
    node.meet(sent(pod1, remote[family], tcp(40000, 80, 'FA')), 'podToRemote')
    assert.equal(theFlow(node).state, flowState.open)
    node.meet(arrived(remote[family], pod1, tcp(80, 40000, 'FA')), 'remoteToPod')
    assert.equal(theFlow(node).state, flowState.closing)
    node.meet(arrived(remote[family], pod1, answer), 'remoteToPod')
    assert.equal(theFlow(node).state, flowState.closing)
    // The port again.
    node.meet(sent(pod1, remote[family], tcp(40000, 80, 'S')), 'podToRemote')
    assert.deepEqual([theFlow(node).map, theFlow(node).state, theFlow(node).flags], ['new_flows', flowState.new, 0])
    node.meet(arrived(remote[family], pod1, tcp(80, 40000, 'RA')), 'remoteToPod')
    assert.equal(theFlow(node).state, flowState.closing)
  })

  test(`${v}: the other side may begin with the same ports`, () => {
    const node = new Node(machine, nodeRows())
    node.meet(sent(pod1, remote[family], tcp(40000, 80, 'S')), 'podToRemote')
    node.meet(arrived(remote[family], pod1, tcp(80, 40000, 'S')), 'remoteToPod')
    assert.deepEqual([theFlow(node).map, theFlow(node).flags], ['new_flows', flowFlag.remoteFirst])
  })

  const middle: readonly (readonly [number, Fate, Fate, number])[] = [
    // enforced, fate of what the pod sends, of what it gets, flags of the first
    [0, 'podToRemote', 'remoteToPod', 0],
    [1, 'podToRemote', 'remoteToPod', 0],
    [2, 'podToRemote', 'remoteToPod', flowFlag.remoteFirst | flowFlag.answered],
    [3, 'policy-egress', 'policy-ingress', 0],
  ]
  for (const [enforce, out, into, flags] of middle) {
    test(`${v}: TCP from the middle of a lost flow, when policy denies ${['nothing', 'in', 'out', 'both'][enforce]}`, () => {
      for (const letters of ['A', 'SA', 'PA']) {
        const node = new Node(machine, [...nodeRows(), t.policyOf(pod1, { enforce })])
        node.meet(sent(pod1, remote[family], tcp(40000, 80, letters)), out)
        assert.equal(theFlow(node).flags, flags)
        new Node(machine, [...nodeRows(), t.policyOf(pod1, { enforce })]).meet(arrived(remote[family], pod1, tcp(80, 40000, letters)), into)
      }
    })
  }

  test(`${v}: a note counts as long as an open flow, and of this incarnation`, () => {
    const note = (age: number, incarnation = pod1.incarnation) =>
      row('host_notes', { local: pod1.ip[family], localPort: 40000, protocol: 17 }, { seen: ago(age), incarnation })
    const packet = arrived(remote[family], pod1, udp(80, 40000))
    new Node(machine, [...nodeRows(), note(100)]).meet(packet, 'remoteViaHost')
    const node = new Node(machine, [...nodeRows(), note(100), t.policyOf(pod1, { enforce: 1 })])
    node.meet(packet, 'remoteViaHost')
    node.meet(handed(remote[family], pod1, udp(80, 40000)), 'policy-ingress')
    new Node(machine, [...nodeRows(), note(216)]).meet(packet, 'remoteToPod')
    new Node(machine, [...nodeRows(), note(1, 77)]).meet(packet, 'remoteToPod')
  })

  test(`${v}: what is too long for the fast way is tracked once, and a SYN by the host stack begins anew`, () => {
    const long = { data: Buffer.alloc(1600) }
    const node = new Node(machine, nodeRows())
    node.meet(sent(pod1, remote[family], tcp(40000, 80, 'S')), 'podToRemote')
    node.meet(arrived(remote[family], pod1, tcp(80, 40000, 'A', long)), 'tooLong')
    node.meet(handed(remote[family], pod1, tcp(80, 40000, 'A', long)), 'hostToPod')
    assert.equal(theFlow(node).rxPackets, 1)
    node.meet(sent(pod1, remote[family], tcp(40000, 80, 'A', long)), 'tooLong')
    node.meet(handed(remote[family], pod1, tcp(80, 40000, 'S')), 'hostToPod')
    assert.equal(theFlow(node).way, flowWay.host)
  })
}
