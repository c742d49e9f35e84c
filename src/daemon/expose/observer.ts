// SPDX-License-Identifier: Apache-2.0
import { terwayName } from '#config/datapath-choice.ts'
import type { Observer } from '#daemon/observer.ts'
import type { DaemonMetrics } from '#lib/metrics.ts'

/** Counts what the daemon does under Terway's names. */
export function metricsObserver(m: DaemonMetrics): Observer {
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
  }
}
