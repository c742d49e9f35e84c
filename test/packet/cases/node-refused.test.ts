// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { mode } from '#kernel/bpf/words.ts'
import { protocols, raw, tcp, udp } from '../build.ts'
import { ago, client, ends, kinds, serviceNode, serviceOf, way } from '../exchange.ts'
import { Node } from '../node.ts'
import { Machine } from '../run.ts'
import { backendIs, rangeOf, setIs } from '../services.ts'
import * as t from '../topology.ts'
import { nodeFlowsOf, row, rowsOf } from '../world.ts'

/** Who gets no backend, and who gets which. */
const machine = new Machine()
after(() => machine[Symbol.dispose]())
const { families, node: nodeIp, otherRemote, pod1, reached, remote, told } = t
const nobody = 'service-without-backend'

for (const family of families) {
  const v = `IPv${family}`
  const [here, asker, far] = [nodeIp[family], otherRemote[family], remote[family]]
  const outside = { ip: here, scope: 'outside' } as const
  const l3 = 14 + (family === 4 ? 20 : 40)
  const { port } = kinds.TCP
  const rows = (ips: Parameters<typeof serviceOf>[2], more = {}, kind: Parameters<typeof serviceOf>[0] = kinds.TCP) => [
    ...serviceNode(),
    ...serviceOf(kind, family, ips, { ...outside, ...more }),
  ]
  const ask = (flags: string, data = 0) => reached(asker, here, tcp(client, port, flags, { data: Buffer.alloc(data) }))

  test(`${v}: TCP is reset: with what would have been acknowledged, or from what is`, () => {
    const node = new Node(machine, rows([]))
    // Every packet begins at 0x01020304 and acknowledges 0.
    for (const [flags, data, acknowledged, answer] of [
      ['S', 0, 0x01020305, 0x14],
      ['S', 5, 0x0102030a, 0x14],
      ['', 3, 0x01020307, 0x14],
      ['F', 0, 0x01020305, 0x14],
      ['A', 3, 0, 0x04],
      ['SA', 0, 0, 0x04],
    ] as const) {
      const { packet, verdict } = node.meet(ask(flags, data), nobody)
      assert.equal(verdict, 'redirect')
      assert.equal(ends(packet), way(here, port, asker, client))
      assert.equal(packet.length, l3 + 20)
      assert.deepEqual([packet.readUInt32BE(l3 + 4), packet.readUInt32BE(l3 + 8), packet[l3 + 13]], [0, acknowledged, answer], flags)
    }
    const acknowledging = ask('A')
    acknowledging.arrival.packet.writeUInt32BE(0xfffffff0, l3 + 8)
    assert.equal(node.meet(acknowledging, nobody).packet.readUInt32BE(l3 + 4), 0xfffffff0)
    for (const flags of ['R', 'RA']) assert.equal(node.meet(ask(flags), nobody).verdict, 'drop')
    assert.deepEqual(nodeFlowsOf(node.world), [])
  })

  test(`${v}: others hear that the port is unreachable, with the start of their packet`, () => {
    for (const kind of [kinds.UDP, kinds.SCTP]) {
      const node = new Node(machine, rows([], {}, kind))
      const request = reached(asker, here, kind.first(client, kind.port))
      const { packet } = node.meet(request, nobody)
      assert.deepEqual([...packet.subarray(l3, l3 + 2)], family === 4 ? [3, 3] : [1, 4])
      assert.deepEqual(packet.subarray(l3 + 8), request.arrival.packet.subarray(14, l3 + 8))
    }
  })

  test(`${v}: what is never answered`, () => {
    const node = new Node(machine, [...rows([]), ...rows([], {}, kinds.UDP)])
    const segment = udp(client, kinds.UDP.port, Buffer.alloc(64))
    const silent = (more: Parameters<typeof reached>[3], of = segment, to = here) =>
      assert.equal(node.meet(reached(asker, to, of, more), nobody).verdict, 'drop')
    silent({ fragment: { id: 1, offset: 0, more: true } })
    silent({ gsoSize: 32 })
    silent(family === 4 ? { options: Buffer.alloc(4, 1) } : { extensions: [{ header: 0 }] })
    silent({ options: Buffer.alloc(0) }, raw(protocols.tcp, tcp(client, port, 'S').bytes(asker, here).subarray(0, 14)))
    node.change(...serviceOf(kinds.UDP, family, [], { ...outside, ip: t.group[family], frontend: 2 }))
    silent({}, segment, t.group[family])
  })

  test(`${v}: where another node may have a backend there is silence`, () => {
    const node = new Node(machine, rows([], { flags: ['local'] }))
    assert.equal(node.meet(ask('S'), nobody).verdict, 'drop')
  })

  test(`${v}: backends that take nothing new are none, and a set without its count neither`, () => {
    const node = new Node(machine, rows([far]))
    node.change(backendIs({ id: 1, ip: far, port: 8080, protocol: 6, state: 'draining' }))
    node.meet(ask('S'), nobody)
    node.change({ map: 'backends', key: { backend: 1 }, value: undefined })
    node.meet(ask('S'), nobody)
    node.change({ map: 'backend_sets', key: { set: 1 }, value: undefined })
    node.meet(ask('S'), nobody)
    // Of four slots in turn one is asked, whichever is first.
    node.change(backendIs({ id: 1, ip: far, port: 8080, protocol: 6 }), ...setIs(1, [7, 7, 7, 1]))
    node.meet(ask('S'), 'nodeToRemote')
  })

  test(`${v}: only those of the source ranges may come, and who came may stay`, () => {
    const node = new Node(machine, [...rows([far], { flags: ['sourceRanges'] }), rangeOf(2, asker, family === 4 ? 32 : 128)])
    node.meet(ask('S'), 'service-source-range')
    node.change(rangeOf(1, asker, family === 4 ? 24 : 64))
    node.meet(ask('S'), 'nodeToRemote')
    node.change({ ...rangeOf(1, asker, family === 4 ? 24 : 64), value: undefined })
    node.meet(ask('A'), 'nodeToRemote')
    node.meet(reached(asker, here, tcp(client + 1, port, 'S')), 'service-source-range')
  })

  test(`${v}: a client stays with its backend for as long as the Service says`, () => {
    const ips = [far, t.hostCidr[family], t.localDns[family]]
    const node = new Node(machine, rows(ips, { affinitySeconds: 100 }))
    const to = (from: number) => ends(node.meet(reached(asker, here, tcp(from, port, 'S')), 'nodeToRemote').packet).split(' ')[3]
    const first = to(1)
    for (let from = 2; from < 10; from++) assert.equal(to(from), first)
    const kept = rowsOf(node.world, 'affinities')[0]
    assert.ok(kept !== undefined)
    node.change(row('affinities', kept.key, { ...kept.value, seen: ago(101) }))
    to(20)
    node.change(row('affinities', kept.key, { backend: 9, seen: ago(0) }))
    to(21)
  })

  test(`${v}: by a table a client gets the same backend from the same port`, () => {
    const ips = [far, t.hostCidr[family], t.localDns[family]]
    const node = new Node(machine, rows(ips, { flags: ['hashed'] }))
    const to = () => ends(node.meet(ask('S'), 'nodeToRemote').packet).split(' ')[3]
    const first = to()
    for (let i = 0; i < 10; i++) {
      node.change(...nodeFlowsOf(node.world).map(({ map, key }) => ({ map, key, value: undefined }) as const))
      assert.equal(to(), first)
    }
  })

  test(`${v}: a frontend for pods and the node is none for clients, nor is another protocol or port`, () => {
    const node = new Node(machine, [...rows([far]), ...serviceOf(kinds.TCP, family, [far], { frontend: 2 })])
    node.meet(reached(asker, t.service[family], tcp(client, port, 'S')), 'uncounted')
    node.meet(reached(asker, here, udp(client, port)), 'uncounted')
    node.meet(reached(asker, here, tcp(client, port + 1, 'S')), 'uncounted')
  })

  test(`${v}: the node itself hears that a Service of it has no backend`, () => {
    const empty = [...serviceOf(kinds.TCP, family, []), ...serviceOf(kinds.UDP, family, []), ...serviceOf(kinds.SCTP, family, [])]
    const node = new Node(machine, [...serviceNode(mode.service), ...empty])
    const vip = t.service[family]
    const { packet, verdict, target } = node.meet(told(vip, kinds.TCP.first(client, port)), nobody)
    assert.deepEqual([verdict, target, ends(packet)], ['redirect', t.nodeDevice, way(vip, port, here, client)])
    node.meet(told(vip, kinds.UDP.first(client, kinds.UDP.port)), nobody)
    // Neither what goes on, nor what the node forwards for others, nor another protocol.
    node.meet(told(vip, kinds.TCP.next(client, port)), 'uncounted')
    node.meet(told(vip, kinds.TCP.first(client, port), { ingressIfIndex: pod1.ifIndex }), 'uncounted')
    node.meet(told(vip, kinds.SCTP.first(client, kinds.SCTP.port)), 'uncounted')
    node.change(...serviceOf(kinds.TCP, family, [], { flags: ['local'] }))
    assert.equal(node.meet(told(vip, kinds.TCP.first(client, port)), nobody).verdict, 'drop')
    node.change(...serviceOf(kinds.TCP, family, [far]))
    node.meet(told(vip, kinds.TCP.first(client, port)), 'uncounted')
    node.change(t.modeIs(t.everything))
    node.meet(told(vip, kinds.UDP.first(client, kinds.UDP.port)), 'uncounted')
  })
}
