// SPDX-License-Identifier: Apache-2.0
import type { ServiceView } from '#compile/service/view.ts'
import type { PolicyMetrics } from '#lib/metrics.ts'
import type { Decision } from '#policyd/decision.ts'
import type { Unread } from '#policyd/unreadable.ts'
import { metricsRoute, type Probe, probeRoute } from '#rpc/http/routes.ts'
import type { Routes } from '#rpc/http/serve.ts'
import type { SyncStatus } from '#sync/sync.ts'

/** On the node's loopback: kubelet's probes, metrics, and what `terway-cli service` shows. */
export const defaultListen = '127.0.0.1:9130'

/** What is shown of terway-policy at one moment. */
export interface PolicyView {
  readonly nodeName: string
  readonly decision: Decision
  /** Undefined while Services are not ours. */
  readonly maps: SyncStatus | undefined
  services(): readonly ServiceView[]
  /** What is not as it should be, for good. */
  readonly notes: readonly string[]
  readonly unreadable: readonly Unread[]
}

export function exposedRoutes(view: () => PolicyView, metrics: PolicyMetrics): Routes {
  return {
    '/healthz': probeRoute(() => ({ ok: true })),
    '/readyz': probeRoute(() => readiness(view())),
    '/metrics': metricsRoute(metrics.registry, () => refresh(metrics, view())),
    '/services': query => ({ status: 200, body: servicesAnswer(view(), query.get('namespace'), query.get('name')) }),
  }
}

/** A process that has nothing to do is ready for it. */
export function readiness({ decision, maps }: PolicyView): Probe {
  if (!decision.ours || maps?.synced) return { ok: true }
  if (maps === undefined || !maps.pinned) return { ok: false, reason: withError('terwayd has made no maps yet', maps) }
  return { ok: false, reason: withError(`${maps.pending} entries are not in the maps yet`, maps) }
}

function withError(what: string, maps: SyncStatus | undefined): string {
  return maps?.lastError === undefined ? what : `${what}: ${maps.lastError}`
}

/** `namespace` and `name` narrow it; null = all. */
export function servicesAnswer(
  { nodeName, decision, maps, services, notes }: PolicyView,
  namespace: string | null,
  name: string | null,
): object {
  const asked = (s: ServiceView) => (namespace === null || s.namespace === namespace) && (name === null || s.name === name)
  const { ours, reason } = decision
  return { node: nodeName, enabled: ours, reason, maps: maps ?? null, notes, services: services().filter(asked) }
}

function refresh(metrics: PolicyMetrics, { maps, unreadable }: PolicyView): void {
  metrics.unreadable.reset()
  for (const { kind } of unreadable) metrics.unreadable.inc({ kind })
  for (const [map, entries] of Object.entries(maps?.entries ?? {})) metrics.entries.set({ map }, entries)
  metrics.pending.set(maps?.pending ?? 0)
  metrics.synced.set(maps?.synced === true ? 1 : 0)
}
