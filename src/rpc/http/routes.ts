// SPDX-License-Identifier: Apache-2.0
import type { Registry } from 'prom-client'
import type { Route } from '#rpc/http/serve.ts'

export interface Probe {
  readonly ok: boolean
  readonly reason?: string
}

/** `ok`, or 503 and what is missing: for liveness and readiness probes. */
export function probeRoute(check: () => Probe | Promise<Probe>): Route {
  return async () => {
    const { ok, reason } = await check()
    return ok ? { status: 200, body: 'ok\n' } : { status: 503, body: `${reason ?? 'not ready'}\n` }
  }
}

/** Prometheus text; `refresh` sets the gauges that are read rather than counted. */
export function metricsRoute(registry: Registry, refresh: () => void = () => {}): Route {
  return async () => {
    refresh()
    return { status: 200, type: registry.contentType, body: await registry.metrics() }
  }
}
