// SPDX-License-Identifier: Apache-2.0
import { after, test } from 'node:test'
import { direction, mode, verdict } from '#kernel/bpf/words.ts'
import { tcp, udp } from '../build.ts'
import { type Fate, Node } from '../node.ts'
import { Machine } from '../run.ts'
import * as t from '../topology.ts'
import type { Change } from '../world.ts'

const machine = new Machine()
after(() => machine[Symbol.dispose]())
const { families, nodeRows, pod1, pod2, sent, arrived, handed, remote, ruleOf } = t
const host = (family: 4 | 6) => (family === 4 ? 32 : 128)
const { allow, deny } = verdict

/** Rules of 100, which the remote is; what comes of TCP to port 80, 81 and 8080, and of UDP to 80. */
const rules: readonly (readonly [
  string,
  readonly (readonly [Parameters<typeof ruleOf>[0], number])[],
  readonly [boolean, boolean, boolean, boolean],
])[] = [
  ['none: nothing is allowed', [], [false, false, false, false]],
  ['a port', [[{ prefixLength: 96, identity: 100, protocol: 6, port: 80 }, allow]], [true, false, false, false]],
  ['a range by its prefix', [[{ prefixLength: 95, identity: 100, protocol: 6, port: 80 }, allow]], [true, true, false, false]],
  ['a protocol', [[{ prefixLength: 80, identity: 100, protocol: 6 }, allow]], [true, true, true, false]],
  ['everything', [[{ prefixLength: 72, identity: 100 }, allow]], [true, true, true, true]],
  ['everybody', [[{ prefixLength: 96, identity: 0, protocol: 6, port: 80 }, allow]], [true, false, false, false]],
  ['somebody else', [[{ prefixLength: 72, identity: 101 }, allow]], [false, false, false, false]],
  [
    'the more exact one',
    [
      [{ prefixLength: 80, identity: 100, protocol: 6 }, allow],
      [{ prefixLength: 96, identity: 100, protocol: 6, port: 80 }, deny],
    ],
    [false, true, true, false],
  ],
  [
    'a denial of everybody wins',
    [
      [{ prefixLength: 96, identity: 100, protocol: 6, port: 80 }, allow],
      [{ prefixLength: 72, identity: 0 }, deny],
    ],
    [false, false, false, false],
  ],
  [
    'a denial of this one wins',
    [
      [{ prefixLength: 72, identity: 0 }, allow],
      [{ prefixLength: 96, identity: 100, protocol: 6, port: 80 }, deny],
    ],
    [false, true, true, true],
  ],
]
const probes = [tcp(40000, 80, 'S'), tcp(40000, 81, 'S'), tcp(40000, 8080, 'S'), udp(40000, 80)]

for (const family of families) {
  const v = `IPv${family}`
  const known = t.identityIs(remote[family], host(family), 100)
  for (const [name, keys, allowed] of rules) {
    test(`${v}: ${name}`, () => {
      for (const way of ['out', 'in'] as const) {
        const rows: Change[] = keys.map(([key, verdict]) => ruleOf({ ...key, direction: direction[way] }, verdict))
        for (const [i, probe] of probes.entries()) {
          const node = new Node(machine, [...nodeRows(), known, ...rows, t.policyOf(pod1, { enforce: direction[way] })])
          const fate = (path: Fate): Fate => (allowed[i] ? path : way === 'out' ? 'policy-egress' : 'policy-ingress')
          const again = (path: Fate): Fate => (allowed[i] ? path : 'denied-flow')
          const [packet, path] =
            way === 'out'
              ? ([sent(pod1, remote[family], probe), 'podToRemote'] as const)
              : ([arrived(remote[family], pod1, probe), 'remoteToPod'] as const)
          node.meet(packet, fate(path))
          node.meet(packet, again(path))
        }
      }
    })
  }

  test(`${v}: one of a thousand rules`, () => {
    const many = Array.from({ length: 1000 }, (_, i) =>
      ruleOf({ prefixLength: 96, identity: 100, direction: direction.out, protocol: 6, port: 1000 + i }),
    )
    const node = new Node(machine, [...nodeRows(), known, ...many, t.policyOf(pod1, { enforce: 3 })])
    node.meet(sent(pod1, remote[family], tcp(40000, 1999, 'S')), 'podToRemote')
    node.meet(arrived(remote[family], pod1, tcp(1999, 40000, 'SA')), 'remoteToPod')
    node.meet(sent(pod1, remote[family], tcp(40000, 2000, 'S')), 'policy-egress')
  })

  test(`${v}: a change of policy is asked for again, both ways`, () => {
    const all = ruleOf({ prefixLength: 72, direction: direction.out })
    const node = new Node(machine, [...nodeRows(), all, t.policyOf(pod1, { enforce: 3 })])
    const out = sent(pod1, remote[family], udp(40000, 53))
    const back = arrived(remote[family], pod1, udp(53, 40000))
    node.meet(out, 'podToRemote')
    node.meet(back, 'remoteToPod')
    node.change(t.policyOf(pod1, { enforce: 3, revision: 2 }))
    // In the orientation of who began: what is denied inwards does not matter.
    node.meet(back, 'remoteToPod')
    node.change({ ...all, value: undefined }, t.policyOf(pod1, { enforce: 3, revision: 3 }))
    node.meet(back, 'policy-egress')
    node.meet(out, 'denied-flow')
    node.change(all, t.policyOf(pod1, { enforce: 3, revision: 4 }))
    node.meet(out, 'podToRemote')
    node.meet(back, 'remoteToPod')
    node.change({ ...t.policyOf(pod1, {}), value: undefined })
    node.meet(out, 'podToRemote')
  })

  test(`${v}: a flow is compared with its policy once for each change of some policy, and keeps what it was compared with`, () => {
    const all = (revision: number, enforce: number) => t.policyOf(pod1, { enforce, revision })
    const out = sent(pod1, remote[family], udp(40000, 53))
    const back = arrived(remote[family], pod1, udp(53, 40000))
    const node = new Node(machine, [...nodeRows(), t.policiesAre(7), all(1, 0)])
    node.meet(out, 'podToRemote')
    node.meet(back, 'remoteToPod')
    node.change(all(2, 3), t.policiesAre(7))
    node.meet(out, 'podToRemote')
    node.change(t.policiesAre(8))
    node.meet(out, 'policy-egress')
    node.change(t.policyOf(pod2, { enforce: 3 }))
    node.meet(back, 'denied-flow')
    node.change(t.modeIs(mode.guard | mode.forward))
    node.meet(sent(pod1, remote[family], udp(40001, 53)), 'podToRemote')
    node.change(t.modeIs(t.everything))
    node.meet(sent(pod1, remote[family], udp(40001, 53)), 'policy-egress')
  })

  test(`${v}: between two pods each has its own word`, () => {
    const node = new Node(machine, [...nodeRows(), t.policyOf(pod2, { enforce: 1 })])
    const packet = sent(pod1, pod2.ip[family], udp(40000, 53))
    node.meet(packet, 'policy-ingress')
    node.meet(packet, 'denied-flow')
    node.change(ruleOf({ prefixLength: 72, direction: direction.in }), t.policyOf(pod2, { enforce: 1, revision: 2 }))
    node.meet(packet, 'podToPod')
    node.meet(sent(pod2, pod1.ip[family], udp(53, 40000)), 'podToPod')
  })

  test(`${v}: the node reaches its pods whatever their policy, and a pod the node and Services`, () => {
    const node = new Node(machine, [...nodeRows(), t.policyOf(pod1, { enforce: 3 })])
    const probe = handed(t.node[family], pod1, tcp(50000, 80, 'S'), { ingressIfIndex: 0 })
    node.meet(probe, 'hostToPod')
    node.meet(sent(pod1, t.node[family], tcp(80, 50000, 'SA')), 'podViaHost')
    node.meet(handed(remote[family], pod1, tcp(50001, 80, 'S'), { ingressIfIndex: 0 }), 'hostToPod')
    for (const to of [t.node, t.service, t.localDns]) node.meet(sent(pod1, to[family], udp(40000, 53)), 'podToHost')
    for (const to of [t.hostCidr, remote]) node.meet(sent(pod1, to[family], udp(40000, 53)), 'policy-egress')
    node.change(t.policyOf(pod1, { enforce: 3, revision: 2 }))
    node.meet(sent(pod1, t.node[family], tcp(80, 50000, 'A')), 'podViaHost')
    node.meet(sent(pod1, t.service[family], udp(40000, 53)), 'podViaHost')
    node.meet(handed(remote[family], pod1, udp(50002, 80)), 'policy-ingress')
    node.meet(handed(t.node[family], pod1, udp(50003, 80)), 'hostToPod')
  })
}
