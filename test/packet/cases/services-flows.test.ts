// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { direction, flowFlag, flowState, flowTimeout, flowWay, mode } from '#kernel/bpf/words.ts'
import { tcp } from '../build.ts'
import { ago, backendsAt, client, ends, kinds, serviceNode, serviceOf, way } from '../exchange.ts'
import { type Fate, Node } from '../node.ts'
import { Machine } from '../run.ts'
import { backendIs, setIs } from '../services.ts'
import * as t from '../topology.ts'
import { type Change, type Row, row, rowsOf } from '../world.ts'

/** What is remembered of translated flows: a choice for what the pod sends, and a flow for what the network sees. */
const machine = new Machine()
after(() => machine[Symbol.dispose]())
const { families, pod1, pod2, sent, arrived, handed, remote, service } = t

const choiceOf = (node: Node): Row<'flows'> & { readonly map: 'flows' | 'new_flows' } => {
  const found = (['flows', 'new_flows'] as const)
    .flatMap(map => rowsOf(node.world, map).map(row => ({ ...row, map })))
    .filter(({ value }) => value.way === flowWay.service)
  assert.equal(found.length, 1)
  const [choice] = found
  assert.ok(choice)
  return choice
}
const gone = (change: Change): Change => ({ ...change, value: undefined })

for (const family of families) {
  for (const kind of Object.values(kinds)) {
    const of = `IPv${family} ${kind.name}`
    const { port, target, protocol } = kind
    const vip = service[family]
    const [me, far] = [pod1.ip[family], remote[family]]
    const request = sent(pod1, vip, kind.first(client, port))
    const next = sent(pod1, vip, kind.next(client, port))
    const answer = arrived(far, pod1, kind.answer(target, client))
    const direct = sent(pod1, far, kind.first(client, target))
    const rows = [...serviceNode(), ...serviceOf(kind, family, [far])]
    const [, second] = backendsAt(kind, [far, t.otherRemote[family]])
    assert.ok(second)
    const otherBackend = [backendIs(second), ...setIs(1, [2])]

    test(`${of}: a choice goes on as its flow does`, () => {
      const node = new Node(machine, rows)
      node.meet(request, 'podToRemote')
      const { value, map } = choiceOf(node)
      assert.deepEqual([map, value.state, value.backend, value.frontend, value.flags], ['new_flows', flowState.new, 1, 1, 0])
      node.meet(answer, 'remoteToPod')
      assert.deepEqual([choiceOf(node).map, choiceOf(node).value.state], ['new_flows', flowState.new])
      node.meet(next, 'podToRemote')
      assert.deepEqual([choiceOf(node).map, choiceOf(node).value.state], ['flows', flowState.open])
      if (kind.name !== 'TCP') return
      node.meet(sent(pod1, vip, tcp(client, port, 'RA')), 'podToRemote')
      assert.equal(choiceOf(node).value.state, flowState.closing)
    })

    const ages = [
      [flowState.new, 'new_flows', flowTimeout.new],
      [flowState.open, 'flows', kind.name === 'TCP' ? flowTimeout.openTcp : flowTimeout.open],
      [flowState.closing, 'flows', flowTimeout.closing],
    ] as const
    test(`${of}: a choice counts as long as a flow`, () => {
      for (const [state, map, seconds] of ages) {
        const key = { local: me, remote: vip, localPort: client, remotePort: port, protocol }
        const choice = { state, way: flowWay.service, localIncarnation: pod1.incarnation, backend: 1, frontend: 1 }
        const aged = (age: number, to: string) => {
          const node = new Node(machine, [...rows, ...otherBackend, row(map, key, { ...choice, seen: ago(age) })])
          assert.equal(ends(node.meet(next, 'podToRemote').packet), way(me, client, to as typeof far, target))
        }
        aged(seconds * 0.8, far)
        aged(seconds * 1.2, t.otherRemote[family])
        aged(-1, far)
      }
    })

    test(`${of}: the other side's packets keep a choice alive, until they end too`, () => {
      const ours = { localIncarnation: pod1.incarnation, frontend: 1, seen: ago(flowTimeout.new * 1.5) }
      const key = { local: me, remote: vip, localPort: client, remotePort: port, protocol }
      const choice = row('new_flows', key, { ...ours, state: flowState.new, way: flowWay.service, backend: 1 })
      const goesTo = (flow: object) => {
        const of = { local: me, remote: far, localPort: client, remotePort: target, protocol }
        const value = { ...ours, state: flowState.open, way: flowWay.direct, flags: flowFlag.answered, seen: ago(1), ...flow }
        const node = new Node(machine, [...rows, ...otherBackend, choice, row('flows', of, value)])
        return ends(node.meet(next, 'podToRemote').packet)
      }
      const [same, another] = [far, t.otherRemote[family]].map(to => way(me, client, to, target))
      assert.equal(goesTo({}), same)
      assert.equal(goesTo({ seen: ago(flowTimeout.openTcp + 60) }), another)
      assert.equal(goesTo({ frontend: 7 }), another)
    })

    test(`${of}: a choice of another incarnation is none`, () => {
      const node = new Node(machine, rows)
      node.meet(request, 'podToRemote')
      node.change(...otherBackend, t.endpointOf(pod1, { incarnation: 77 }))
      node.change(...families.map(f => t.addressOf(pod1, f, { incarnation: 77 })))
      assert.equal(ends(node.meet(next, 'podToRemote').packet), way(me, client, t.otherRemote[family], target))
      assert.equal(choiceOf(node).value.localIncarnation, 77)
    })

    test(`${of}: entries that were evicted in the middle are made again`, () => {
      const node = new Node(machine, rows)
      node.meet(request, 'podToRemote')
      node.meet(answer, 'remoteToPod')
      node.meet(next, 'podToRemote')
      const { map, key, value } = choiceOf(node)
      node.change(gone({ map, key, value } as unknown as Change))
      node.meet(next, 'podToRemote')
      assert.equal(choiceOf(node).map, 'flows')
      const flow = rowsOf(node.world, 'flows').find(({ value }) => value.way === flowWay.direct)
      assert.ok(flow)
      node.change(gone({ map: 'flows', ...flow } as unknown as Change))
      node.meet(next, 'podToRemote')
      assert.equal(ends(node.meet(answer, 'remoteToPod').packet), way(vip, port, me, client))
    })

    test(`${of}: the same port speaks to the backend itself, then to the Service, then to the backend`, () => {
      for (const value of [t.everything | mode.service, mode.service]) {
        const regular = value === mode.service
        const node = new Node(machine, [...rows, t.modeIs(value)])
        const [translated, plain]: readonly [Fate, Fate] = regular ? ['podViaHost', 'none'] : ['podToRemote', 'podToRemote']
        const asks = (from: typeof vip, fromPort: number) => {
          const back = regular ? handed(far, pod1, kind.answer(target, client)) : answer
          const shown = node.meet(back, regular ? (from === far ? 'none' : 'hostToPod') : 'remoteToPod')
          assert.equal(ends(shown.packet), way(from, fromPort, me, client))
        }
        if (!regular) {
          node.meet(direct, plain)
          asks(far, target)
          // Of a connection that is in use nothing is taken.
          node.meet(request, 'service-collision')
          node.change(
            ...(['flows', 'new_flows'] as const).flatMap(map => rowsOf(node.world, map).map(r => gone({ map, ...r } as unknown as Change))),
          )
        }
        node.meet(request, translated)
        asks(vip, port)
        assert.equal(ends(node.meet(direct, plain).packet), way(me, client, far, target))
        asks(far, target)
        node.meet(next, kind.name === 'TCP' || regular ? translated : 'podToRemote')
        asks(vip, port)
      }
    })

    test(`${of}: policy sees the backend, not the Service`, () => {
      const rule = (more: Parameters<typeof t.ruleOf>[0]) => t.ruleOf({ direction: direction.out, protocol, ...more })
      const enforced = t.policyOf(pod1, { enforce: 2 })
      const backend = t.identityIs(far, family === 4 ? 32 : 128, 100)
      new Node(machine, [...rows, enforced]).meet(request, 'policy-egress')
      const node = new Node(machine, [...rows, enforced, backend, rule({ prefixLength: 96, identity: 100, port: target })])
      node.meet(request, 'podToRemote')
      node.meet(answer, 'remoteToPod')
      node.meet(sent(pod1, vip, kind.first(client + 1, port)), 'podToRemote')
      // It is asked again when it changes, for what goes on too.
      node.change(t.policyOf(pod1, { enforce: 2, policy: 2, revision: 2 }))
      node.meet(next, 'policy-egress')
      node.meet(next, 'denied-flow')
      node.meet(answer, 'denied-flow')
      node.change(t.policyOf(pod1, { enforce: 2, revision: 3 }))
      node.meet(next, 'podToRemote')
      assert.equal(ends(node.meet(answer, 'remoteToPod').packet), way(vip, port, me, client))
      const byFrontend = t.identityIs(vip, family === 4 ? 32 : 128, 101)
      const allowsIt = rule({ prefixLength: 96, identity: 101, port })
      new Node(machine, [...rows, enforced, byFrontend, allowsIt]).meet(request, 'policy-egress')
    })

    test(`${of}: the policy of a backend here is asked for the client`, () => {
      const node = new Node(machine, [...serviceNode(), ...serviceOf(kind, family, [pod2.ip[family]]), t.policyOf(pod2, { enforce: 1 })])
      node.meet(request, 'policy-ingress')
      const client1 = t.identityIs(me, family === 4 ? 32 : 128, 100)
      const rule = t.ruleOf({ prefixLength: 96, identity: 100, direction: direction.in, protocol, port: target })
      node.change(client1, rule, t.policyOf(pod2, { enforce: 1, revision: 2 }))
      node.meet(request, 'podToPod')
      node.meet(sent(pod2, me, kind.answer(target, client)), 'podToPod')
    })

    test(`${of}: addresses of Services are no exception to policy where we translate`, () => {
      const both = t.policyOf(pod1, { enforce: 3 })
      new Node(machine, [...t.nodeRows(), both]).meet(request, 'podToHost')
      const learning = t.modeIs(t.everything | mode.service | mode.learn)
      const middle = sent(pod1, vip, tcp(client, port, 'A'))
      new Node(machine, [...rows, both, learning]).meet(middle, 'policy-egress')
    })

    test(`${of}: what arrives from the address of a frontend goes on with no choice`, () => {
      const node = new Node(machine, [...serviceNode(), ...serviceOf(kind, family, [far], { ip: t.otherRemote[family] })])
      node.meet(sent(pod1, t.otherRemote[family], kind.first(client, port)), 'podToRemote')
      node.change(t.policyOf(pod1, { enforce: 3, revision: 7 }))
      const before = node.world
      node.meet(arrived(t.otherRemote[family], pod1, kind.answer(port, client)), 'remoteViaHost')
      node.meet(handed(t.otherRemote[family], pod1, kind.answer(port, client)), 'hostToPod')
      assert.deepEqual(node.world, before)
      node.change(t.modeIs(mode.service))
      node.meet(handed(t.otherRemote[family], pod1, kind.answer(port, client)), 'none')
    })
  }

  test(`IPv${family}: a stale entry hides no choice, and a choice that is made leaves none`, () => {
    const kind = kinds.UDP
    const key = { local: pod1.ip[family], remote: service[family], localPort: client, remotePort: kind.port, protocol: kind.protocol }
    const choice = { seen: ago(1), state: flowState.new, way: flowWay.service, localIncarnation: pod1.incarnation, backend: 1, frontend: 1 }
    const stale = row('flows', key, { ...choice, localIncarnation: 77, flags: flowFlag.answered })
    const rows = [...serviceNode(), ...serviceOf(kind, family, [remote[family]]), stale]
    const request = sent(pod1, service[family], kind.first(client, kind.port))
    const node = new Node(machine, [...rows, row('new_flows', key, choice)])
    node.meet(request, 'podToRemote')
    const made = new Node(machine, rows)
    made.meet(request, 'podToRemote')
    assert.equal(choiceOf(made).map, 'new_flows')
  })
}
