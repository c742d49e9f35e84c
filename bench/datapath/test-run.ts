// SPDX-License-Identifier: Apache-2.0
// `node bench/datapath/test-run.ts`: what a run of each program costs by itself, in nanoseconds, without a packet's way through the kernel. The least of
// many runs hardly knows what else the machine does, so that a change of the programs is seen at once; what it is worth in traffic, where other code has
// been through the caches, say the rows `dp.v2.pod_in.us` and so on of `make bench-datapath`.
import { featuresOf } from '#kernel/bpf/features.ts'
import { mode } from '#kernel/bpf/words.ts'
import type { Family } from '#net/ip.ts'
import { tcp } from '../../test/packet/build.ts'
import { kinds, serviceOf } from '../../test/packet/exchange.ts'
import { Machine } from '../../test/packet/run.ts'
import * as t from '../../test/packet/topology.ts'
import type { Change } from '../../test/packet/world.ts'
import { bpfObject } from '../../tools/bpf/compile.ts'
import type { RunId } from './run-figures.ts'

const { pod1, pod3, remote, service, node, sent, arrived, handed } = t
const runs = Number(process.env.RUNS ?? 2000)
const { port, target } = kinds.TCP
const [first, answer, next] = ['S', 'SA', 'A']

interface Case {
  readonly id: RunId
  readonly name: string
  /** What comes before, once. */
  readonly before: readonly t.Packet[]
  /** Of run `n`: the same packet, or each time the first one of another flow. */
  packet(n: number): t.Packet
}

/** Everything on that there is: guard, policy in both directions, Services. */
function rows(family: Family): Change[] {
  const enforced = t.pods.map(pod => t.policyOf(pod, { enforce: 3 }))
  const rules = [1, 2].map(direction => t.ruleOf({ prefixLength: 80, direction, protocol: kinds.TCP.protocol }))
  const allowed = [...enforced, ...rules, t.policiesAre(1)]
  return [...t.nodeRows(), t.nodeIs(), ...serviceOf(kinds.TCP, family, [remote[family]]), ...allowed, t.modeIs(t.everything | mode.service)]
}

/** A connection that is open, and what comes then. */
function open(id: RunId, name: string, client: (flags: string) => t.Packet, server: (flags: string) => t.Packet, packet: t.Packet): Case {
  return { id, name, before: [client(first), server(answer), client(next)], packet: () => packet }
}

function casesOf(family: Family): Case[] {
  const [far, vip, near] = [remote[family], service[family], pod3.ip[family]]
  const out = (flags: string) => sent(pod1, far, tcp(40_000, target, flags))
  const back = (flags: string) => arrived(far, pod1, tcp(target, 40_000, flags))
  const asks = (flags: string) => sent(pod1, vip, tcp(40_001, port, flags))
  const told = (flags: string) => arrived(far, pod1, tcp(target, 40_001, flags))
  const across = (flags: string) => sent(pod1, near, tcp(40_002, target, flags))
  const returns = (flags: string) => sent(pod3, pod1.ip[family], tcp(target, 40_002, flags))
  const probe = (flags: string) => handed(node[family], pod1, tcp(40_003, target, flags), { ingressIfIndex: 0 })
  const probed = (flags: string) => sent(pod1, node[family], tcp(target, 40_003, flags))
  return [
    open('pod_in', 'pod_in', out, back, out(next)),
    open('eni_in', 'eni_in', out, back, back(next)),
    open('pod_in.service', 'pod_in, to a Service', asks, told, asks(next)),
    open('eni_in.service', 'eni_in, from a Service', asks, told, told(next)),
    open('pod_in.local', 'pod_in, to a pod of the node', across, returns, across(next)),
    open('pod_out', 'pod_out, from the node', probe, probed, probe(next)),
    { id: 'pod_in.first', name: 'pod_in, first packet', before: [], packet: n => sent(pod1, far, tcp(1024 + n, target, first)) },
    { id: 'eni_in.first', name: 'eni_in, first packet', before: [], packet: n => arrived(far, pod1, tcp(1024 + n, target, first)) },
    {
      id: 'pod_in.service.first',
      name: 'pod_in, first packet to a Service',
      before: [],
      packet: n => sent(pod1, vip, tcp(1024 + n, port, first)),
    },
  ]
}

function least(machine: Machine, packet: Case['packet']): number {
  const times = Array.from({ length: runs }, (_, n) => {
    const { program, arrival } = packet(n)
    return machine.run(program, arrival).nanoseconds
  })
  return Math.min(...times)
}

/** Of each case, in nanoseconds. */
export function testRuns(family: Family): readonly { readonly id: RunId; readonly name: string; readonly ns: number }[] {
  using machine = new Machine({ ...featuresOf(bpfObject()), test_mode: 0 })
  return casesOf(family).map(({ id, name, before, packet }) => {
    machine.write(rows(family))
    for (const { program, arrival } of before) machine.run(program, arrival)
    const whole = least(machine, packet)
    // In this mode a program ends at once: what is left is what the kernel takes to run one.
    machine.apply([t.modeIs(0)])
    return { id, name, ns: whole - least(machine, packet) }
  })
}

if (import.meta.main) {
  for (const family of t.families) {
    for (const { name, ns } of testRuns(family)) console.log(`${`IPv${family} ${name}`.padEnd(42)}${`${ns} ns`.padStart(9)}`)
  }
}
