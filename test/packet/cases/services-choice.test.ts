// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { backendState } from '#kernel/bpf/words.ts'
import type { Family, Ip } from '#net/ip.ts'
import { ago, backendsAt, client, ends, type Kind, kinds, serviceNode, serviceOf, way } from '../exchange.ts'
import { Node } from '../node.ts'
import { Machine } from '../run.ts'
import { backendGoes, backendIs, serviceIs, setIs, slotOf } from '../services.ts'
import * as t from '../topology.ts'
import { type Change, row, rowsOf } from '../world.ts'

/** Which backend a client comes to: what chance, a client's own address or its past decide. */
const machine = new Machine()
after(() => machine[Symbol.dispose]())
const { families, pod1, pod2, sent, service } = t

const far = (family: Family): Ip[] => [t.remote[family], t.otherRemote[family], t.hostCidr[family]]
const backends = (kind: Kind, family: Family) => backendsAt(kind, far(family))
const gone = (change: Change): Change => ({ ...change, value: undefined })
const forgets = (node: Node): Change[] =>
  (['flows', 'new_flows'] as const).flatMap(map =>
    rowsOf(node.world, map).map(({ key }) => ({ map, key, value: undefined }) as unknown as Change),
  )
/** Where a pod's packet came to. */
const destination = (packet: Buffer) => ends(packet).split(' ')[3]

for (const family of families) {
  for (const kind of Object.values(kinds)) {
    const of = `IPv${family} ${kind.name}`
    const { port, target } = kind
    const vip = service[family]
    const me = pod1.ip[family]
    const request = sent(pod1, vip, kind.first(client, port))
    const next = sent(pod1, vip, kind.next(client, port))
    const [one, two, three] = backends(kind, family)
    assert.ok(one && two && three)

    test(`${of}: chance gives every backend its clients`, () => {
      const node = new Node(machine, [...serviceNode(), ...serviceOf(kind, family, far(family))])
      const met = new Set<string | undefined>()
      for (let i = 0; i < 200 && met.size < 3; i++) {
        met.add(destination(node.meet(sent(pod1, vip, kind.first(client + i, port)), 'podToRemote', 'podToHost').packet))
      }
      assert.equal(met.size, 3)
    })

    test(`${of}: a slot without an active backend gives way to the next, four times at most`, () => {
      const node = new Node(machine, [...serviceNode(), ...serviceOf(kind, family, [t.remote[family]]), ...setIs(1, [7, 8, 9, 1])])
      node.change(backendIs({ ...one, id: 8, state: 'draining' }))
      for (let i = 0; i < 12; i++) node.meet(sent(pod1, vip, kind.first(client + i, port)), 'podToRemote')
      node.change(...setIs(1, [7, 8, 9, 10, 1]))
      const met = new Set<boolean>()
      for (let i = 0; i < 200 && met.size < 2; i++) {
        const { reason } = node.meet(sent(pod2, vip, kind.first(client + i, port)), 'podToRemote', 'service-without-backend')
        met.add(reason === 0)
      }
      assert.equal(met.size, 2)
      node.change(gone(row('backend_slots', { set: 1, slot: 4 }, {})))
      node.meet(sent(pod2, vip, kind.first(client + 500, port)), 'service-without-backend')
      node.change(gone(row('backend_sets', { set: 1 }, {})))
      node.meet(sent(pod2, vip, kind.first(client + 500, port)), 'service-without-backend')
    })

    test(`${of}: with a table the client's address and port decide`, () => {
      const node = new Node(machine, [...serviceNode(), ...serviceOf(kind, family, far(family), { flags: ['hashed'] })])
      const of = (i: number) => destination(node.meet(sent(pod1, vip, kind.first(client + i, port)), 'podToRemote', 'podToHost').packet)
      const before = Array.from({ length: 40 }, (_, i) => of(i))
      node.change(...forgets(node))
      assert.deepEqual(
        Array.from({ length: 40 }, (_, i) => of(i)),
        before,
      )
      assert.equal(new Set(before).size, 3)
    })

    test(`${of}: with a table and affinity the client's address alone decides`, () => {
      const rows = serviceOf(kind, family, far(family), { flags: ['hashed'], affinitySeconds: 100 })
      const node = new Node(machine, [...serviceNode(), ...rows])
      const met = Array.from({ length: 12 }, (_, i) => {
        node.change(...rowsOf(node.world, 'affinities').map(({ key }) => gone(row('affinities', key, {}))))
        return destination(node.meet(sent(pod1, vip, kind.first(client + i, port)), 'podToRemote', 'podToHost').packet)
      })
      assert.equal(new Set(met).size, 1)
    })

    test(`${of}: a client stays with its backend, for a time`, () => {
      const rows = serviceOf(kind, family, far(family), { affinitySeconds: 100 })
      const node = new Node(machine, [...serviceNode(), ...rows])
      const meets = (i: number) => destination(node.meet(sent(pod1, vip, kind.first(client + i, port)), 'podToRemote', 'podToHost').packet)
      const first = meets(0)
      for (let i = 1; i < 12; i++) assert.equal(meets(i), first)
      const [affinity] = rowsOf(node.world, 'affinities')
      assert.deepEqual(affinity?.key, { client: me, set: 1 })
      // Every connection begins the time again.
      const aged = (seconds: number, backend: number) => row('affinities', { client: me, set: 1 }, { backend, seen: ago(seconds) })
      node.change(aged(80, 2))
      assert.equal(meets(20), two.ip)
      node.change(aged(120, 3), ...setIs(1, [1]))
      assert.equal(meets(21), one.ip)
      // Another set is another affinity, and other clients are free.
      assert.equal(rowsOf(node.world, 'affinities').length, 1)
      node.meet(sent(pod2, vip, kind.first(client, port)), 'podToRemote')
      assert.equal(rowsOf(node.world, 'affinities').length, 2)
    })

    test(`${of}: connections that begin at once, after a client's time is over, all choose the same backend`, () => {
      const node = new Node(machine, [...serviceNode(), ...serviceOf(kind, family, far(family), { affinitySeconds: 100 })])
      // What another CPU reads that has begun before the first one leaves its choice.
      const meets = (i: number, seen: number) => {
        node.change(row('affinities', { client: me, set: 1 }, { backend: 2, seen }))
        return destination(node.meet(sent(pod1, vip, kind.first(client + i, port)), 'podToRemote', 'podToHost').packet)
      }
      const seen = ago(120)
      assert.equal(new Set(Array.from({ length: 12 }, (_, i) => meets(i, seen))).size, 1)
      assert.equal(new Set(Array.from({ length: 40 }, (_, i) => meets(100 + i, seen - i))).size, 3)
    })

    test(`${of}: nobody stays with a backend that drains, is gone, or is of the set no more`, () => {
      const stays = row('affinities', { client: me, set: 1 }, { backend: 2, seen: ago(1) })
      const leaves: Change[][] = [
        [backendIs({ ...two, state: 'draining' })],
        [backendGoes(2)],
        [gone(row('backend_slots', { set: 1, slot: slotOf(2) }, {}))],
      ]
      for (const changes of leaves) {
        const node = new Node(machine, [...serviceNode(), ...serviceOf(kind, family, far(family), { affinitySeconds: 100 }), stays])
        node.change(...setIs(1, [1]), row('backend_slots', { set: 1, slot: slotOf(2) }, { backend: 2 }), ...changes)
        assert.equal(destination(node.meet(request, 'podToRemote').packet), one.ip)
        assert.equal(rowsOf(node.world, 'affinities')[0]?.value.backend, 1)
      }
    })

    test(`${of}: a choice is kept whatever becomes of the Service`, () => {
      const node = new Node(machine, [...serviceNode(), ...serviceOf(kind, family, [t.remote[family]])])
      node.meet(request, 'podToRemote')
      node.change(...setIs(1, [2]), backendIs(two))
      assert.equal(destination(node.meet(next, 'podToRemote').packet), one.ip)
      node.change(gone(row('services', { ip: vip, port, protocol: kind.protocol, scope: 1 }, {})))
      assert.equal(ends(node.meet(next, 'podToRemote').packet), way(me, client, one.ip, target))
      node.meet(sent(pod1, vip, kind.first(client + 1, port)), 'service-unknown')
    })

    test(`${of}: what goes on by a backend that drains, or is gone`, () => {
      const rows = [...serviceNode(), ...serviceOf(kind, family, [t.remote[family]]), backendIs(two)]
      for (const state of ['draining', 'gone'] as const) {
        const node = new Node(machine, rows)
        node.meet(request, 'podToRemote')
        node.change(state === 'gone' ? backendGoes(1) : backendIs({ ...one, state: 'draining' }), ...setIs(1, [2]))
        const stays = state === 'draining' && kind.name === 'TCP'
        assert.equal(destination(node.meet(next, 'podToRemote').packet), stays ? one.ip : two.ip)
        // Nobody is left.
        node.change(backendGoes(1), backendIs({ ...two, state: 'draining' }), row('backend_sets', { set: 1 }, { count: 0 }))
        node.meet(next, stays || kind.name !== 'TCP' ? 'service-without-backend' : 'podToRemote')
      }
    })

    test(`${of}: two Services by one backend, from one port`, () => {
      const second = { port: kind.port + 1 }
      const shared = serviceIs({ ip: t.otherRemote[family], port: kind.port, protocol: kind.protocol, frontend: 2, set: 2 })
      const node = new Node(machine, [...serviceNode(), ...serviceOf(kind, family, [t.remote[family]]), ...shared, ...setIs(2, [1])])
      const other = sent(pod1, t.otherRemote[family], kind.first(client, kind.port))
      node.meet(request, 'podToRemote')
      const before = node.world
      node.meet(other, 'service-collision')
      assert.deepEqual(node.world, before)
      node.meet(sent(pod1, t.otherRemote[family], kind.first(client + 1, second.port - 1)), 'podToRemote')
      // Another backend does not collide: it is found, unless chance fails four times.
      node.change(...setIs(2, [1, 2]), backendIs(three), backendIs({ ...three, id: 2 }))
      const { packet, reason } = node.meet(other, 'podToHost', 'service-collision')
      if (reason === 0) assert.equal(destination(packet), three.ip)
    })

    test(`${of}: a flow that was silent for a minute, or ends, is no collision`, () => {
      const shared = serviceIs({ ip: t.otherRemote[family], port: kind.port, protocol: kind.protocol, frontend: 2, set: 2 })
      const rows = [...serviceNode(), ...serviceOf(kind, family, [t.remote[family]]), ...shared, ...setIs(2, [1])]
      const key = { local: me, remote: one.ip, localPort: client, remotePort: target, protocol: kind.protocol }
      const flow = { state: 2, way: 1, flags: 2, localIncarnation: pod1.incarnation, frontend: 1, identity: 2, seen: ago(10) }
      const other = sent(pod1, t.otherRemote[family], kind.first(client, kind.port))
      const fates = [
        [flow, 'service-collision'],
        [{ ...flow, frontend: 0 }, 'service-collision'],
        [{ ...flow, flags: 3, frontend: 0 }, 'service-collision'],
        [{ ...flow, frontend: 2 }, 'podToRemote'],
        [{ ...flow, seen: ago(70) }, 'podToRemote'],
        [{ ...flow, state: 3 }, 'podToRemote'],
        [{ ...flow, localIncarnation: 77 }, 'podToRemote'],
        [{ ...flow, state: 4, reason: 5 }, 'denied-flow'],
      ] as const
      for (const [value, fate] of fates) new Node(machine, [...rows, row('flows', key, value)]).meet(other, fate)
      // TCP from the middle goes on where it can.
      const middle = sent(pod1, t.otherRemote[family], kind.next(client, kind.port))
      new Node(machine, [...rows, row('flows', key, flow)]).meet(middle, kind.name === 'TCP' ? 'podToRemote' : 'service-collision')
    })

    test(`${of}: a pod that is the backend of two frontends, from one port`, () => {
      const same = { ip: vip, protocol: kind.protocol, frontend: 2, set: 1 }
      const secondPort = port + 1
      const node = new Node(machine, [...serviceNode(), ...serviceOf(kind, family, [me]), ...serviceIs({ ...same, port: secondPort })])
      // SCTP keeps the port of the frontend, so that a second one has another backend.
      if (kind.name === 'SCTP') return
      // What somebody did from there before Services were ours is in nobody's way.
      const old = { seen: ago(1), state: 2, way: 2, flags: 2, localIncarnation: pod1.incarnation }
      const key = { local: me, remote: vip, localPort: target, remotePort: client, protocol: kind.protocol }
      node.change(row('flows', key, old))
      node.meet(request, 'hairpin')
      const other = sent(pod1, vip, kind.first(client, secondPort))
      const before = node.world
      node.meet(other, 'service-collision')
      node.meet(other, 'service-collision')
      assert.deepEqual(node.world, before)
      const flow = rowsOf(node.world, 'new_flows').find(({ value }) => value.way === 1)
      assert.ok(flow)
      node.change(row('new_flows', flow.key, { ...flow.value, state: 2, seen: ago(70) }))
      node.meet(other, 'hairpin')
      const back = node.meet(sent(pod1, vip, kind.answer(target, client)), 'hairpin')
      assert.equal(ends(back.packet), way(vip, secondPort, me, client))
    })
  }

  test(`IPv${family}: a connection that begins anew chooses anew, a SYN again does not`, () => {
    const kind = kinds.TCP
    const node = new Node(machine, [...serviceNode(), ...serviceOf(kind, family, [t.remote[family]])])
    const [, two] = backends(kind, family)
    assert.ok(two)
    const request = sent(pod1, service[family], kind.first(client, 80))
    node.meet(request, 'podToRemote')
    node.change(backendIs(two), ...setIs(1, [2]))
    assert.equal(destination(node.meet(request, 'podToRemote').packet), t.remote[family])
    // Its connection is over, its backend drains, its port comes again.
    node.meet(t.arrived(t.remote[family], pod1, kind.answer(kind.target, client)), 'remoteToPod')
    node.meet(sent(pod1, service[family], kind.next(client, 80)), 'podToRemote')
    node.change(row('backends', { backend: 1 }, { ip: t.remote[family], port: 8080, protocol: 6, state: backendState.draining }))
    assert.equal(destination(node.meet(request, 'podToRemote').packet), two.ip)
  })
}
