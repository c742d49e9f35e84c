// SPDX-License-Identifier: Apache-2.0
import { terwayName } from '#config/datapath-choice.ts'
import type { Observer } from '#daemon/observer.ts'
import type { Count } from '#kernel/bpf/counters.ts'
import type { DaemonMetrics } from '#lib/metrics.ts'

/** Counters of the programs as they were last: maps that were made anew begin at 0. */
class Totals {
  #last = new Map<string, bigint>()

  /** By how much each has grown. */
  increases(counts: ReadonlyMap<string, Count>): readonly (readonly [name: string, packets: number])[] {
    const now = new Map([...counts].map(([name, { packets }]) => [name, packets]))
    const grown = [...now].map(([name, packets]) => {
      const before = this.#last.get(name) ?? 0n
      return [name, Number(packets < before ? packets : packets - before)] as const
    })
    this.#last = now
    return grown
  }
}

/** Counts what the daemon does under Terway's names. */
export function metricsObserver(m: DaemonMetrics): Observer {
  const [packets, drops] = [new Totals(), new Totals()]
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
    programs: sample => {
      for (const { table, used, room } of sample.tables) {
        m.tableEntries.set({ table }, used)
        m.tableRoom.set({ table }, room)
      }
      for (const [path, count] of packets.increases(sample.paths)) m.packets.inc({ path }, count)
      for (const [reason, count] of drops.increases(sample.drops)) m.drops.inc({ reason }, count)
    },
  }
}
