// SPDX-License-Identifier: Apache-2.0
import type { Registry } from 'prom-client'
import type { Route } from '#rpc/http/serve.ts'

/** `ok`, or 503 and what is missing: for liveness and readiness probes. */
export function probeRoute(check: () => { readonly ok: boolean; readonly reason?: string }): Route {
  return () => {
    const { ok, reason } = check()
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
