// SPDX-License-Identifier: Apache-2.0
import type { CloudObserver } from '#cloud/execute.ts'
import { controllers } from '#controller/config.ts'
import type { ControllerObserver } from '#controller/deps.ts'
import { isUnderway } from '#controller/eni/perform.ts'
import { sum } from '#ipam/pool.ts'
import type { Logger } from '#lib/log.ts'
import type { ControllerMetrics } from '#lib/metrics.ts'

/** Waits from this length on are logged, as in Terway. Milliseconds. */
const longWait = 5_000

export function cloudObserver(metrics: ControllerMetrics, log: Logger): CloudObserver {
  return {
    called: (api, ms, error) => {
      metrics.openApiLatency.observe({ api, error: String(error !== undefined) }, ms)
      if (error === undefined) return
      // An ENI that is not there yet, or not gone yet: asked again soon, and no trouble.
      const level = isUnderway(error) ? 'info' : 'warn'
      log[level]({ api, code: error.code, class: error.class, requestId: error.requestId, ms: Math.round(ms) }, error.message)
    },
    waited: (api, ms, priority, who) => {
      metrics.rateLimiterLatency.observe({ api }, ms)
      if (ms >= longWait) log.warn({ api, priority, who, ms: Math.round(ms) }, 'a call waited for its budget')
    },
  }
}

/** Which controllers run, and how many nodes each serves at a time: one queue feeds them all. */
export function showControllers(metrics: ControllerMetrics, workers: number): void {
  for (const controller of controllers) metrics.configInfo.set({ controller, max_concurrent: String(workers) }, 1)
}

export function controllerObserver(metrics: ControllerMetrics): ControllerObserver {
  const attaching = new Map<string, number>()
  return {
    reconciled: (method, node, ms) => metrics.nodeReconcileLatency.observe({ method, node }, ms),
    adjusted: node => metrics.gcCount.inc({ node }),
    synced: node => metrics.syncOpenApiCount.inc({ node }),
    attached: (result, eniType, ms) => metrics.eniAttachDuration.observe({ result, eni_type: eniType }, ms / 1000),
    attaching: (node, count) => {
      if (count === 0) attaching.delete(node)
      else attaching.set(node, count)
      metrics.eniTaskQueueSize.set({ status: 'attaching' }, sum([...attaching.values()]))
    },
  }
}
