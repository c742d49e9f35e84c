// SPDX-License-Identifier: Apache-2.0
import type { CloudObserver } from '#cloud/execute.ts'
import type { ControllerObserver } from '#controller/deps.ts'
import type { ControllerMetrics } from '#lib/metrics.ts'

/** Counts what the controller's rounds do under Terway's names. */
export function metricsObserver(m: ControllerMetrics): ControllerObserver {
  return {
    reconciled: (method, node, ms) => m.nodeReconcileLatency.observe({ method, node }, ms),
    adjusted: node => m.gcCount.inc({ node }),
    synced: node => m.syncOpenApiCount.inc({ node }),
    attached: (result, eni_type, ms) => m.eniAttachDuration.observe({ result, eni_type }, ms / 1000),
    attaching: count => m.eniTaskQueueSize.set({ status: 'attaching' }, count),
  }
}

/** Counts cloud calls and the time they waited for their API's budget. */
export function cloudObserver(m: ControllerMetrics): CloudObserver {
  return {
    called: (api, ms, error) => m.openApiLatency.observe({ api, error: String(error !== undefined) }, ms),
    waited: (api, ms) => m.rateLimiterLatency.observe({ api }, ms),
  }
}

/** Which controllers run, with how many workers. */
export function showConfig(m: ControllerMetrics, controllers: Readonly<Record<string, number>>): void {
  for (const [controller, workers] of Object.entries(controllers)) m.configInfo.set({ controller, max_concurrent: String(workers) }, 1)
}
