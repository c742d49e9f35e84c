// SPDX-License-Identifier: Apache-2.0
import { terwayName } from '#config/datapath-choice.ts'
import type { Observer } from '#daemon/observer.ts'
import type { Count } from '#kernel/bpf/counters.ts'
import type { DaemonMetrics } from '#lib/metrics.ts'

/** Counters of the programs as they were last: maps that were made anew begin at 0. */
class Totals {
  #last = new Map<string, number>()

  /** By how much each has grown. */
  increases(now: ReadonlyMap<string, number>): readonly (readonly [name: string, by: number])[] {
    const grown = [...now].map(([name, count]) => {
      const before = this.#last.get(name) ?? 0
      return [name, count < before ? count : count - before] as const
    })
    this.#last = new Map(now)
    return grown
  }
}

const packetsOf = (counts: ReadonlyMap<string, Count>) => new Map([...counts].map(([name, { packets }]) => [name, Number(packets)]))

/** Counts what the daemon does under Terway's names. */
export function metricsObserver(m: DaemonMetrics): Observer {
  const [packets, drops, made] = [new Totals(), new Totals(), new Totals()]
  const evicted = new Map<string, number>()
  return {
    verb: (verb, code, ms) => {
      m.rpcLatency.observe({ rpc_api: verb, error: String(code !== 0) }, ms)
      m.cniRequests.inc({ verb, code: String(code) })
    },
    addPhase: (phase, ms) => m.addPhase.observe({ phase }, ms / 1000),
    leased: (eniId, outcome) => m.factoryIpAlloc.inc({ eni: eniId, status: outcome === 'ok' ? 'success' : 'fail' }),
    coolingWaived: () => m.coolingWaived.inc(),
    disposed: family => m.poolDisposed.inc({ type: 'local', ipStack: `ipv${family}` }),
    repair: (result, kinds) => {
      m.repairRounds.inc({ result })
      for (const kind of kinds) m.repairOps.inc({ kind })
    },
    datapath: kind => {
      m.datapathInfo.reset()
      m.datapathInfo.set({ type: terwayName(kind) }, 1)
    },
    programs: (sample, busiest) => {
      for (const { table, used, room } of sample.tables) {
        m.tableEntries.set({ table }, used)
        m.tableRoom.set({ table }, room)
      }
      for (const [path, count] of packets.increases(packetsOf(sample.paths))) m.packets.inc({ path }, count)
      for (const [reason, count] of drops.increases(packetsOf(sample.drops))) m.drops.inc({ reason }, count)
      for (const [table, count] of sample.evicted) {
        const most = evicted.get(table) ?? count
        m.tableEvictions.inc({ table }, Math.max(0, count - most))
        evicted.set(table, Math.max(count, most))
      }
      const kinds = new Map(sample.made.map(f => [`${f.what} ${f.protocol}`, f]))
      const counts = new Map([...kinds].map(([kind, f]) => [kind, f.count]))
      for (const [kind, by] of made.increases(counts)) {
        const { what = '', protocol = '' } = kinds.get(kind) ?? {}
        if (by > 0) m.flowsMade.inc({ what, protocol }, by)
      }
      m.podFlows.reset()
      for (const { namespace, pod, flows } of busiest) m.podFlows.set({ namespace, pod }, flows)
    },
  }
}
