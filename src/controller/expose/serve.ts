// SPDX-License-Identifier: Apache-2.0
import type { Logger } from '#lib/log.ts'
import type { ControllerMetrics } from '#lib/metrics.ts'
import { metricsRoute, probeRoute } from '#rpc/http/routes.ts'
import { serveHttp } from '#rpc/http/serve.ts'

export interface ExposeOptions {
  /** ctrl-config's healthzBindAddress, host:port. */
  readonly healthzBindAddress: string
  /** ctrl-config's metricsBindAddress; "0" = no metrics. */
  readonly metricsBindAddress: string
  /** Ready to lead or to take over: watching, or waiting for the lease. */
  readonly ready: () => { readonly ok: boolean; readonly reason?: string }
}

/** The controller's probes (/healthz, /readyz) and, when an address is set, /metrics. Throws AppError `http-listen`. */
export async function expose(o: ExposeOptions, metrics: ControllerMetrics, log: Logger): Promise<{ close(): Promise<void> }> {
  const probes = { '/healthz': probeRoute(() => ({ ok: true })), '/readyz': probeRoute(o.ready) }
  const health = await serveHttp(o.healthzBindAddress, probes, log)
  if (o.metricsBindAddress === '0') return health
  try {
    const scrapes = await serveHttp(o.metricsBindAddress, { '/metrics': metricsRoute(metrics.registry) }, log)
    return {
      close: async () => {
        await Promise.all([health.close(), scrapes.close()])
      },
    }
  } catch (e) {
    await health.close()
    throw e
  }
}
