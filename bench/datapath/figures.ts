// SPDX-License-Identifier: Apache-2.0
import type { Figure } from '../measure/figures.ts'
import { type Cell, cells, figureOf, type Kind, type Work } from './cells.ts'

const ways: Readonly<Record<Kind, string>> = {
  veth: 'regular mode',
  veth_nft: "regular mode with rules like those of kube-proxy's nftables mode",
  veth_ipt: "regular mode with rules like those of kube-proxy's iptables mode",
  v2_nopolicy: 'DataPath V2 without a policy',
  v2: 'DataPath V2 with a policy of 1 000 entries',
}
const works: Readonly<Record<Work, string>> = {
  tcp_rr: 'one byte and back over TCP',
  udp_rr: 'one byte and back over UDP',
  crr: 'connection, one byte and back, end',
  stream: 'TCP stream',
}
const goals: Readonly<Record<string, number>> = {
  'dp.v2.crossnode.tcp_rr.1cpu.vs_host': 0.93,
  'dp.v2.crossnode.udp_rr.1cpu.vs_host': 0.96,
  'dp.v2.crossnode.crr.1cpu.vs_host': 0.95,
  'dp.v2.crossnode.tcp_rr.2cpu.vs_host': 0.98,
  'dp.v2.crossnode.udp_rr.2cpu.vs_host': 0.98,
  'dp.v2.crossnode.crr.2cpu.vs_host': 0.98,
  'dp.v2.samenode.tcp_rr.1cpu.vs_host': 1.1,
  'dp.v2.samenode.udp_rr.1cpu.vs_host': 1.1,
  'dp.v2.samenode.crr.1cpu.vs_host': 1.1,
  'dp.v2.crossnode.stream.vs_host': 0.95,
}

function figureFor(cell: Cell): Figure {
  const { way, work, cpus } = cell
  const what = `${works[work]}, ${cpus === 1 ? 'one CPU' : 'two CPUs'}`
  if (way.kind === 'host') return { unit: work === 'stream' ? 'Gbit/s' : 'us', what: `the baseline: host to host, ${what}` }
  const goal = goals[figureOf(cell)]
  const between = way.between === 'crossnode' ? 'across nodes' : 'on one node'
  return { unit: 'ratio', ...(goal === undefined ? {} : { goal, atLeast: true }), what: `${ways[way.kind]}, ${between}: ${what}` }
}

/** Ratios are above 1 where a path is faster than from host to host: its median time against theirs, or its throughput. */
export const datapathFigures: Readonly<Record<string, Figure>> = {
  ...Object.fromEntries(cells.map(cell => [figureOf(cell), figureFor(cell)])),
  'dp.v2.crossnode.tcp_rr.1cpu.vs_best_veth': {
    unit: 'ratio',
    goal: 0.75,
    what: "time of DataPath V2 against the best of regular mode's three: one byte and back over TCP",
  },
  'dp.v2.crossnode.crr.1cpu.vs_best_veth': { unit: 'ratio', goal: 0.6, what: 'the same: connection, one byte and back, end' },
  'dp.v2.pod_in.us': { unit: 'us', what: 'the program that takes what a pod sends: a run with a packet of an open TCP connection' },
  'dp.v2.eni_in.us': { unit: 'us', what: 'the program that takes what an ENI receives: the same' },
  'dp.v2.load.ms': { unit: 'ms', what: 'reading, making, verifying and pinning the programs and maps of a node' },
  'dp.v2.maps.mb': { unit: 'MB', what: "memory of a node's maps, counted by the kernel" },
}
