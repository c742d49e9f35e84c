// SPDX-License-Identifier: Apache-2.0
import type { Figure } from '../measure/figures.ts'
import { type Between, type Cell, cells, figureOf, type Kind, type Work } from './cells.ts'
import { profileFigures } from './profile-figures.ts'
import { runFigures } from './run-figures.ts'

const ways: Readonly<Record<Kind, string>> = {
  veth: 'regular mode',
  veth_nft: "regular mode with kube-proxy's rules for 1 000 Services, nftables",
  veth_ipt: "regular mode with kube-proxy's rules for 1 000 Services, iptables",
  veth_svc: 'regular mode with programs for 1 000 Services',
  minimal: 'programs that only redirect, attached by tcx',
  minimal_block: "programs that only redirect, attached as DataPath V2's are",
  v2_nopolicy: 'DataPath V2 without policy and Services',
  v2: 'DataPath V2 with a policy of 1 000 entries and 1 000 Services',
  v2_svc1: 'DataPath V2 with the same policy and one Service',
  v2_svc100: 'DataPath V2 with the same policy and 100 Services',
  v2_svc10k: 'DataPath V2 with the same policy and 10 000 Services',
  v2_ct10k: 'DataPath V2 with both and 10 000 connections of others',
  v2_ct1m: 'DataPath V2 with both and 1 000 000 connections of others',
  exclusive: 'pods with an ENI each',
}
const betweens: Readonly<Record<Between, string>> = {
  crossnode: 'across nodes',
  samenode: 'on one node',
  service: 'to a Service whose backend is on another node',
  node: "from a process on the node's own network to another node",
  socket: 'the same by way of a Service, translated at the socket, against without',
}
const works: Readonly<Record<Work, string>> = {
  tcp_rr: 'one byte and back over TCP',
  udp_rr: 'one byte and back over UDP',
  crr: 'TCP connection, one byte and back, end',
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
  'dp.v2.crr.svc1.vs_host': 0.9,
  'dp.v2.crr.svc100.vs_host': 0.9,
  'dp.v2.crr.svc1000.vs_host': 0.9,
  'dp.v2.crr.svc10000.vs_host': 0.9,
  'dp.v2.ct1m.vs_host': 0.85,
  'dp.exclusive.crossnode.tcp_rr.1cpu.vs_host': 0.98,
}

function figureFor(cell: Cell): Figure {
  const { way, work, cpus, family } = cell
  const what = `${works[work]}${family === 6 ? ' and IPv6' : ''}, ${cpus === 1 ? 'one CPU' : 'two CPUs'}`
  if (way.kind === 'host') return { unit: work === 'stream' ? 'Gbit/s' : 'us', what: `the baseline: host to host, ${what}` }
  const goal = goals[figureOf(cell)]
  return {
    unit: 'ratio',
    ...(goal === undefined ? {} : { goal, atLeast: true }),
    what: `${ways[way.kind]}, ${betweens[way.between]}: ${what}`,
  }
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
  'dp.v2.tcp_rr.svc1000.vs_best_rules': {
    unit: 'ratio',
    goal: 0.75,
    what: "time of DataPath V2 against the better of kube-proxy's two modes, to a Service: one byte and back over TCP",
  },
  'dp.v2.crr.svc1000.vs_best_rules': { unit: 'ratio', goal: 0.6, what: 'the same: connection, one byte and back, end' },
  'dp.v2.crr.svc10000.vs_svc1': {
    unit: 'ratio',
    goal: 1.03,
    what: 'time with 10 000 Services against that with one: connection to a Service, one byte and back, end',
  },
  'dp.synflood.lost': {
    unit: 'count',
    goal: 0,
    what: 'open connections of a pod, to another and to a Service, that are dead after first packets came, from the pod and to it, ten times as many as the table has entries',
  },
  'dp.synflood.nodeport.lost': {
    unit: 'count',
    goal: 0,
    what: 'the same of clients from outside at a port of the node, after as many first packets at that port',
  },
  'dp.v2.load.ms': { unit: 'ms', what: 'reading, making, verifying and pinning the programs and maps of a node' },
  'dp.v2.programs.mb': { unit: 'MB', what: "memory of a node's programs, counted by the kernel, without what it compiles them to" },
  'dp.v2.maps.mb': { unit: 'MB', what: "memory of a node's maps with 1 000 Services, counted by the kernel" },
  'dp.v2.maps.svc10000.mb': { unit: 'MB', what: 'the same with 10 000 Services' },
  'dp.v2.maps.ct1m.mb': { unit: 'MB', what: 'the same with 1 000 Services and tables for 1 048 576 connections' },
  'dp.v2.tcp_rr.programs.us': {
    unit: 'us',
    what: 'time in the programs of both nodes for one byte and back over an open TCP connection between pods, counted by the kernel',
  },
  'dp.v2.tcp_rr.svc1000.programs.us': { unit: 'us', what: 'the same, to a Service' },
  'dp.v2.crr.programs.us': { unit: 'us', what: 'the same for a connection between pods, one byte and back, end' },
  'dp.v2.crr.svc1000.programs.us': { unit: 'us', what: 'the same, to a Service' },
  'dp.v2.pod_in.us': { unit: 'us', what: 'the program that takes what a pod sends: a run with a packet of an open TCP connection' },
  'dp.v2.eni_in.us': { unit: 'us', what: 'the program that takes what an ENI receives: the same' },
  'dp.v2.pod_in.service.us': { unit: 'us', what: 'the program that takes what a pod sends: the same, of a connection to a Service' },
  'dp.v2.eni_in.service.us': { unit: 'us', what: 'the program that takes what an ENI receives: the same' },
  'dp.v2.pod_in.crr.us': { unit: 'us', what: 'the program that takes what a pod sends: the mean of all packets of short connections' },
  'dp.v2.eni_in.crr.us': { unit: 'us', what: 'the program that takes what an ENI receives: the same' },
  'dp.v2.pod_in.crr.service.us': { unit: 'us', what: 'the program that takes what a pod sends: the same, of connections to a Service' },
  'dp.v2.eni_in.crr.service.us': { unit: 'us', what: 'the program that takes what an ENI receives: the same' },
  'dp.v2.node_out.us': {
    unit: 'us',
    what: "the program at the node's own device, of what it sends: a packet of the node's open TCP connection",
  },
  'dp.v2.node_in.us': { unit: 'us', what: 'the same of what it receives' },
  'dp.v2.connect4.us': {
    unit: 'us',
    what: 'the program that puts a backend in the place of a Service: a connection of a process on the node',
  },
  ...runFigures,
  ...profileFigures,
}
