// SPDX-License-Identifier: Apache-2.0
import { datapathFigures } from '../datapath/figures.ts'

/** What a figure means, in which unit, and how good it has to be. */
export interface Figure {
  readonly unit: 'ratio' | 'us' | 'ms' | 's' | 'MB' | 'Gbit/s' | 'count'
  readonly goal?: number
  /** The goal is a floor; otherwise it is a ceiling. */
  readonly atLeast?: true
  readonly what: string
}

/** Every figure that a benchmark may publish. */
export const figures: Readonly<Record<string, Figure>> = {
  'cni.add.p50.vs_ptp': { unit: 'ratio', goal: 0.25, what: 'ADD, process start to exit, median, against ptp + host-local' },
  'cni.add.p99.vs_ptp': { unit: 'ratio', goal: 0.4, what: 'the same, slowest of a hundred' },
  'cni.del.p50.vs_ptp': { unit: 'ratio', goal: 0.25, what: 'DEL, process start to exit, median, against ptp + host-local' },
  'cni.drain.vs_ptp': { unit: 'ratio', what: 'DELs one after the other until the kernel has removed the last device' },
  'cni.add100.vs_ptp': { unit: 'ratio', goal: 0.3, what: 'ADDs at once: time to the last one' },
  'cni.add.p50.ms': { unit: 'ms', goal: 2.7, what: 'ADD, process start to exit, median' },
  'cni.add.p99.ms': { unit: 'ms', what: 'the same, slowest of a hundred' },
  'cni.add.p999.ms': { unit: 'ms', what: 'the same, slowest of a thousand, all rounds together' },
  'cni.del.p50.ms': { unit: 'ms', what: 'DEL, process start to exit, median' },
  'cni.add100.ms': { unit: 'ms', what: 'ADDs at once: time to the last one' },
  'cni.pod.cpu.vs_ptp': {
    unit: 'ratio',
    what: "CPU time of a pod's ADD and DEL, the daemon with all it does besides included, against ptp",
  },
  'cni.pod.cpu.ms': { unit: 'ms', what: "CPU time of a pod's ADD and DEL, the daemon with all it does besides included" },
  'cni.ptp.pod.cpu.ms': { unit: 'ms', what: 'the baseline: the same of ptp + host-local' },
  'cni.ptp.add.p50.ms': { unit: 'ms', what: 'the baseline: ADD of ptp + host-local, median' },
  'cni.ptp.add.p99.ms': { unit: 'ms', what: 'the baseline: the same, slowest of a hundred' },
  'cni.ptp.del.p50.ms': { unit: 'ms', what: 'the baseline: DEL of ptp + host-local, median' },
  'cni.ptp.add100.ms': { unit: 'ms', what: 'the baseline: ADDs at once, time to the last one' },
  'cni.add.daemon_vs_kernel': { unit: 'ratio', goal: 1.5, what: "the daemon's part of an ADD against its netlink calls alone" },
  'cni.add.daemon.ms': { unit: 'ms', what: "the daemon's part of an ADD: request complete to answer ready" },
  'cni.add.kernel_alone.ms': { unit: 'ms', what: 'the netlink calls of an ADD alone, in a process that does nothing else' },
  'cni.add.phase.shim.ms': { unit: 'ms', what: 'part of an ADD: process, socket, and the event loop until the daemon has the request' },
  'cni.add.phase.parse.ms': { unit: 'ms', what: 'part of an ADD: reading the request, checking the namespace' },
  'cni.add.phase.pod.ms': { unit: 'ms', what: 'part of an ADD: waiting for the pod, created just before, to come by the watch' },
  'cni.add.phase.lease.ms': { unit: 'ms', what: 'part of an ADD: choosing an address' },
  'cni.add.phase.ledger.ms': { unit: 'ms', what: 'part of an ADD: the lease in the ledger' },
  'cni.add.phase.kernel.ms': { unit: 'ms', what: 'part of an ADD: observing, planning and netlink' },
  'cni.shim.ms': { unit: 'ms', goal: 0.5, what: 'the shim alone, against a daemon that answers at once' },
  'terwayd.rss.idle.mb': { unit: 'MB', goal: 85, what: 'resident memory of terwayd, no pods' },
  'terwayd.anonymous.idle.mb': { unit: 'MB', what: 'the part of it that no other process could share: without mapped files' },
  'terwayd.rss.200pods.mb': { unit: 'MB', goal: 100, what: 'resident memory with 200 pods' },
  'terwayd.rss.after20k.mb': { unit: 'MB', goal: 110, what: 'resident memory after 20 000 ADDs and DELs, no pods' },
  'terwayd.rss.growth.mb': { unit: 'MB', what: 'growth from the first half of these ADDs and DELs to the second, by straight line' },
  'pool.fill50.vs_limit': { unit: 'ratio', goal: 1.1, what: 'empty pool to 50 addresses, against the time that the cloud itself takes' },
  'pool.fill50.s': { unit: 's', what: 'empty pool to 50 addresses' },
  'pool.fill50.limit.s': { unit: 's', what: 'the time that the cloud itself takes for it' },
  'node.join.first_pod.s': {
    unit: 's',
    goal: 1,
    what: "node joined to first pod's ADD done, beyond the time the cloud takes to attach an ENI",
  },
  'repair.broken': {
    unit: 'count',
    goal: 0,
    what: 'connections with a 1 ms heartbeat that end or pause over 250 ms while terwayd repairs damage',
  },
  'repair.gap.rule_to_pod.ms': { unit: 'ms', what: 'longest pause when the rule to a pod is deleted' },
  'repair.gap.rule_from_pod.ms': { unit: 'ms', what: 'longest pause when the rule from a pod is deleted' },
  'repair.gap.route_to_pod.ms': { unit: 'ms', what: 'longest pause when the route to a pod is deleted' },
  'repair.gap.eni_table.ms': { unit: 'ms', what: "longest pause when an ENI's routing table is flushed" },
  'repair.gap.host_end_down.ms': { unit: 'ms', what: 'longest pause when the host end of a pod is set down' },
  'repair.gap.undamaged.ms': { unit: 'ms', what: 'longest pause of the connections that were not damaged, meanwhile' },
  'sync.start.s': { unit: 's', goal: 10, what: 'start of terway-policy until 5 000 Services with 50 000 endpoints are in empty maps' },
  'sync.restart.s': { unit: 's', what: 'start of terway-policy until it is ready, the maps full of them already' },
  'sync.restart.changes': { unit: 'count', goal: 0, what: 'entries that such a start changes' },
  'sync.p50.ms': { unit: 'ms', what: 'an endpoint sent on a watch until the map has it, 5 000 Services, median' },
  'sync.p99.ms': { unit: 'ms', goal: 50, what: 'the same, slowest of a hundred' },
  'sync.change.entries': { unit: 'count', what: 'entries that such a change writes: the number of endpoints, a slot, the backend' },
  'policyd.rss.mb': {
    unit: 'MB',
    goal: 200,
    what: 'resident memory of terway-policy with 5 000 Services and 50 000 endpoints, after the changes',
  },
  'policyd.rss.peak.mb': { unit: 'MB', what: 'the most that it had, at its start' },
  'policyd.cpu.cores': { unit: 'count', goal: 0.05, what: 'CPU time at 50 changes of endpoints a second, in cores' },
  'policyd.cpu.idle.cores': { unit: 'count', what: 'the same without changes: looks at the maps and comparisons' },
  'policyd.rss.idle.mb': { unit: 'MB', what: 'resident memory while Services are not ours' },
  'pod.ready.vs_ptp': { unit: 'ratio', goal: 1, what: 'pod created to Running and reachable, kubelet included, against ptp' },
  'pod.ready.ms': { unit: 'ms', what: 'pod created to Running and reachable, kubelet included' },
  'pod.ptp.ready.ms': { unit: 'ms', what: 'the baseline: the same with ptp + host-local' },
  'sim.ops': { unit: 'count', goal: 20_000, atLeast: true, what: 'operations of the deterministic simulation, from fresh seeds' },
  'sim.ops_per_s': { unit: 'count', what: 'operations of the simulation a second' },
  'sim.leaks': { unit: 'count', goal: 0, what: 'histories that end because an ENI or address belongs to nobody' },
  'sim.double': { unit: 'count', goal: 0, what: 'histories that end because an address has two holders, or is taken from its holder' },
  'sim.stuck': { unit: 'count', goal: 0, what: 'histories that do not come to rest, or break another invariant' },
  'sim.mutants.total': { unit: 'count', what: 'variants of the product without one safeguard' },
  'sim.mutants.killed': { unit: 'count', what: 'of these, noticed by the simulation' },
  'sim.mutants.survived': { unit: 'count', goal: 0, what: 'of these, not noticed' },
  ...datapathFigures,
}
