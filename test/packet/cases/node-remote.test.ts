// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { flowKind, flowState, flowTimeout, mode } from '#kernel/bpf/words.ts'
import { tcp } from '../build.ts'
import { ago, client, ends, kinds, serviceNode, serviceOf, way } from '../exchange.ts'
import { Node } from '../node.ts'
import type { Outcome } from '../oracle/step.ts'
import { Machine } from '../run.ts'
import { backendGoes, backendIs, serviceIs, setIs } from '../services.ts'
import * as t from '../topology.ts'
import { type Change, nodeFlowsOf, row } from '../world.ts'

/** A client asks the node for a backend that is elsewhere: the backend sees the node, and the client sees what it asked. */
const machine = new Machine()
after(() => machine[Symbol.dispose]())
const { families, node: nodeIp, otherRemote, reached, remote } = t
/** Of `nodeIs()`. */
const [firstPort, lastPort] = [61000, 61015]

const portOf = ({ packet }: Outcome) => Number(ends(packet).split(' ')[1])
type Entry = ReturnType<typeof nodeFlowsOf>[number]
const entriesOf = (node: Node, kind: keyof typeof flowKind): Entry[] =>
  nodeFlowsOf(node.world).filter(({ key }) => key.kind === flowKind[kind])
const changedEntry = ({ map, key, value }: Entry, more: Partial<Entry['value']>): Change => row(map, key, { ...value, ...more })
const gone = ({ map, key }: Entry): Change => ({ map, key, value: undefined })
const one = (rows: readonly Entry[]): Entry => {
  const [first] = rows
  assert.ok(first !== undefined && rows.length === 1)
  return first
}

for (const family of families) {
  for (const kind of [kinds.TCP, kinds.UDP]) {
    const of = `IPv${family} ${kind.name}`
    const { port, target } = kind
    const [here, far, asker] = [nodeIp[family], remote[family], otherRemote[family]]
    const outside = { ip: here, scope: 'outside' } as const
    const rows = (more = {}) => [...serviceNode(), ...serviceOf(kind, family, [far], { ...outside, ...more })]
    const request = (from = client, segment = kind.first(from, port)) => reached(asker, here, segment)
    const next = (from = client) => request(from, kind.next(from, port))
    const answer = (to: number) => reached(far, here, kind.answer(target, to))

    test(`${of}: the backend sees a port of the node, and the client what it asked`, () => {
      const node = new Node(machine, rows())
      const sent = node.meet(request(), 'nodeToRemote')
      const at = portOf(sent)
      assert.ok(at >= firstPort && at <= lastPort)
      assert.equal(ends(sent.packet), way(here, at, far, target))
      assert.equal(ends(node.meet(answer(at), 'remoteAnswersClient').packet), way(here, port, asker, client))
      // A later packet keeps the port, whatever becomes of the Service.
      node.change(...rows().map(change => (change.map === 'services' ? { ...change, value: undefined } : change)))
      assert.equal(ends(node.meet(next(), 'nodeToRemote').packet), way(here, at, far, target))
      node.meet(answer(at), 'remoteAnswersClient')
    })

    test(`${of}: by a node that does not forward it goes the same way`, () => {
      const node = new Node(machine, [...rows(), t.modeIs(mode.service)])
      node.meet(answer(portOf(node.meet(request(), 'nodeToRemote'))), 'remoteAnswersClient')
    })

    test(`${of}: two clients with one port get two of the node`, () => {
      const node = new Node(machine, rows())
      const other = t.pod2.ip[family]
      const first = portOf(node.meet(request(), 'nodeToRemote'))
      const second = portOf(node.meet(reached(other, here, kind.first(client, port)), 'nodeToRemote'))
      assert.notEqual(first, second)
      assert.equal(ends(node.meet(answer(second), 'remoteAnswersClient').packet), way(here, port, other, client))
      assert.equal(ends(node.meet(answer(first), 'remoteAnswersClient').packet), way(here, port, asker, client))
    })

    test(`${of}: when every port towards a backend is taken it gets no more, another backend does`, () => {
      const node = new Node(machine, [...rows(), t.nodeIs({ natPortLast: firstPort + 2 })])
      for (const from of [1, 2, 3]) node.meet(request(from), 'nodeToRemote')
      node.meet(request(4), 'service-nat-ports')
      node.meet(request(2), 'nodeToRemote')
      const second = { id: 2, ip: t.pod3.ip[family], port: target, protocol: kind.protocol }
      const gone3 = [...families].map(f => ({ ...t.addressOf(t.pod3, f), value: undefined }))
      node.change(...gone3, backendIs(second), ...setIs(1, [2]))
      node.meet(request(4), 'nodeToRemote')
      // One that is idle for too long gives way.
      node.change(...setIs(1, [1]), changedEntry(entriesOf(node, 'backend')[0] as Entry, { seen: ago(flowTimeout.new + 1) }))
      node.meet(request(5), 'nodeToRemote')
      node.meet(request(6), 'service-nat-ports')
    })

    test(`${of}: a range of one port, of none, and no address of the family`, () => {
      const node = new Node(machine, [...rows(), t.nodeIs({ natPortLast: firstPort })])
      assert.equal(portOf(node.meet(request(1), 'nodeToRemote')), firstPort)
      for (const none of [
        { natPortFirst: 0, natPortLast: 0 },
        { natPortLast: firstPort - 1 },
        { address4: undefined, address6: undefined },
      ]) {
        node.change(t.nodeIs(none))
        node.meet(request(2), 'service-nat-ports')
      }
      assert.equal(entriesOf(node, 'client').length, 1)
    })

    test(`${of}: an entry that is idle is none, and one that is lost is made again`, () => {
      const node = new Node(machine, rows())
      const at = portOf(node.meet(request(), 'nodeToRemote'))
      node.change(gone(one(entriesOf(node, 'backend'))))
      node.meet(answer(at), 'uncounted')
      assert.equal(portOf(node.meet(next(), 'nodeToRemote')), at)
      node.meet(answer(at), 'remoteAnswersClient')
      // Somebody else has it by now.
      const own = one(entriesOf(node, 'backend'))
      node.change(changedEntry(own, { client: t.pod2.ip[family] }))
      const other = portOf(node.meet(next(), 'nodeToRemote'))
      assert.notEqual(other, at)
      node.change(changedEntry(one(entriesOf(node, 'client')), { seen: ago(2 * flowTimeout.openTcp) }))
      node.meet(next(), 'nodeToRemote')
      assert.equal(entriesOf(node, 'client').length, 1)
      for (const entry of entriesOf(node, 'backend')) node.change(changedEntry(entry, { seen: ago(2 * flowTimeout.openTcp) }))
      node.meet(answer(other), 'uncounted')
    })

    test(`${of}: what comes to the node's ports from anybody else is left alone`, () => {
      const node = new Node(machine, rows())
      const at = portOf(node.meet(request(), 'nodeToRemote'))
      node.meet(reached(asker, here, kind.answer(target, at)), 'uncounted')
      node.meet(reached(far, here, kind.answer(target + 1, at)), 'uncounted')
      node.meet(reached(far, here, kind.answer(target, lastPort + 1)), 'uncounted')
      node.meet(reached(far, here, kind.answer(target, firstPort - 1)), 'uncounted')
      node.meet(reached(far, t.pod1.ip[family], kind.answer(target, at)), 'uncounted')
    })

    test(`${of}: nobody can show what a client asked when that is forgotten`, () => {
      const node = new Node(machine, rows())
      const at = portOf(node.meet(request(), 'nodeToRemote'))
      node.change({ map: 'frontends', key: { frontend: 1 }, value: undefined })
      node.meet(answer(at), 'service-translation-failed')
    })

    test(`${of}: of a client that must be seen with its own address a backend elsewhere is none`, () => {
      const node = new Node(machine, rows({ flags: ['local', 'keepSource'] }))
      node.meet(request(), 'service-without-backend')
      assert.deepEqual(nodeFlowsOf(node.world), [])
    })
  }

  const v = `IPv${family}`
  const [here, far, asker] = [nodeIp[family], remote[family], otherRemote[family]]
  const outside = { ip: here, scope: 'outside' } as const
  const rowsOfTcp = [...serviceNode(), ...serviceOf(kinds.TCP, family, [far], outside)]
  const { port, target } = kinds.TCP
  const ask = (flags: string, from = client) => reached(asker, here, tcp(from, port, flags))
  const back = (flags: string, at: number) => reached(far, here, tcp(target, at, flags))
  const states = (node: Node) => [...entriesOf(node, 'client'), ...entriesOf(node, 'backend')].map(({ value }) => value.state)

  test(`${v}: both entries open with the answer, close with the end, and a SYN begins anew`, () => {
    const node = new Node(machine, rowsOfTcp)
    const { new: begun, open, closing } = flowState
    const at = portOf(node.meet(ask('S'), 'nodeToRemote'))
    node.meet(ask('S'), 'nodeToRemote')
    assert.deepEqual(states(node), [begun, begun])
    node.meet(back('SA', at), 'remoteAnswersClient')
    assert.deepEqual(states(node), [open, open])
    node.meet(ask('FA'), 'nodeToRemote')
    assert.deepEqual(states(node), [open, open])
    node.meet(back('FA', at), 'remoteAnswersClient')
    assert.deepEqual(states(node), [closing, closing])
    const anew = portOf(node.meet(ask('S'), 'nodeToRemote'))
    assert.notEqual(anew, at)
    node.meet(ask('R'), 'nodeToRemote')
    assert.equal(one(entriesOf(node, 'client')).value.state, closing)
  })

  test(`${v}: a connection stays with a backend that drains, and leaves one that is gone; a datagram leaves both`, () => {
    for (const kind of [kinds.TCP, kinds.UDP]) {
      const node = new Node(machine, [...serviceNode(), ...serviceOf(kind, family, [far], outside)])
      const backend = { id: 1, ip: far, port: kind.target, protocol: kind.protocol }
      const second = { ...backend, id: 2, ip: asker }
      const client2 = t.pod2.ip[family]
      const packet = reached(client2, here, kind.next(client, kind.port))
      node.meet(packet, 'nodeToRemote')
      node.change(backendIs(second), ...setIs(1, [2]), backendIs({ ...backend, state: 'draining' }))
      const stays = ends(node.meet(packet, 'nodeToRemote').packet).includes(far)
      assert.equal(stays, kind === kinds.TCP)
      node.change(backendGoes(1))
      assert.ok(ends(node.meet(packet, 'nodeToRemote').packet).includes(asker))
    }
  })

  test(`${v}: a packet from the middle of a connection that nobody knows chooses, too`, () => {
    const node = new Node(machine, rowsOfTcp)
    node.meet(back('A', portOf(node.meet(ask('A'), 'nodeToRemote'))), 'remoteAnswersClient')
    // After a switch the host stack may know it; what the programs know goes on.
    node.change(t.modeIs(t.everything | mode.service | mode.learn))
    node.meet(ask('A'), 'nodeToRemote')
    node.meet(ask('A', client + 1), 'uncounted')
    node.meet(ask('S', client + 1), 'nodeToRemote')
    node.meet(ask('A', client + 1), 'nodeToRemote')
  })

  test(`${v}: SCTP cannot be sent elsewhere`, () => {
    const node = new Node(machine, [...serviceNode(), ...serviceOf(kinds.SCTP, family, [far], outside)])
    node.meet(reached(asker, here, kinds.SCTP.first(client, kinds.SCTP.port)), 'service-translation-failed')
    assert.deepEqual(nodeFlowsOf(node.world), [])
  })

  test(`${v}: a hop is counted, and the last one leads nowhere, lest nodes send a packet to each other for ever`, () => {
    const node = new Node(machine, rowsOfTcp)
    const hopsOf = ({ packet }: Outcome) => packet[14 + { 4: 8, 6: 7 }[family]]
    const asking = (flags: string, hops: number) => reached(asker, here, tcp(client, port, flags), { hops })
    node.meet(asking('S', 1), 'service-hop-limit')
    assert.deepEqual(nodeFlowsOf(node.world), [])
    assert.equal(hopsOf(node.meet(asking('S', 2), 'nodeToRemote')), 1)
    node.meet(asking('A', 0), 'service-hop-limit')
    assert.equal(hopsOf(node.meet(asking('A', 255), 'nodeToRemote')), 254)
  })

  test(`${v}: two Services with one backend tell their clients apart`, () => {
    const other = serviceIs({ ...outside, port: 81, protocol: 6, frontend: 2, set: 1 })
    const node = new Node(machine, [...rowsOfTcp, ...other])
    const first = portOf(node.meet(ask('S'), 'nodeToRemote'))
    const second = portOf(node.meet(reached(asker, here, tcp(client, 81, 'S')), 'nodeToRemote'))
    assert.equal(ends(node.meet(back('SA', first), 'remoteAnswersClient').packet), way(here, port, asker, client))
    assert.equal(ends(node.meet(back('SA', second), 'remoteAnswersClient').packet), way(here, 81, asker, client))
  })

  test(`${v}: an address that is not the node's is a frontend, too`, () => {
    const lb = t.service[family]
    const node = new Node(machine, [...serviceNode(), ...serviceOf(kinds.UDP, family, [far], { ip: lb, scope: 'outside' })])
    const { port: asked, target: at } = kinds.UDP
    const sent = node.meet(reached(asker, lb, kinds.UDP.first(client, asked)), 'nodeToRemote')
    assert.equal(ends(sent.packet), way(here, portOf(sent), far, at))
    const got = node.meet(reached(far, here, kinds.UDP.answer(at, portOf(sent))), 'remoteAnswersClient')
    assert.equal(ends(got.packet), way(lb, asked, asker, client))
  })
}
