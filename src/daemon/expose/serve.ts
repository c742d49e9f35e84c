// SPDX-License-Identifier: Apache-2.0
import { introspection, refreshGauges } from '#daemon/expose/snapshot.ts'
import type { DaemonState } from '#daemon/state.ts'
import type { Clock } from '#lib/clock.ts'
import type { Logger } from '#lib/log.ts'
import type { DaemonMetrics } from '#lib/metrics.ts'
import type { LeaseService } from '#rpc/grpc/port.ts'
import { serveGrpc } from '#rpc/grpc/serve.ts'
import { cutPath, cutRoute, debugSocket, type Place } from '#rpc/http/cut.ts'
import { metricsRoute, probeRoute } from '#rpc/http/routes.ts'
import { type ListenAddress, type Routes, serveHttp } from '#rpc/http/serve.ts'

export interface ExposeDeps {
  readonly state: DaemonState
  readonly leases: LeaseService
  readonly metrics: DaemonMetrics
  readonly clock: Clock
  readonly log: Logger
  /** Shown by `terway-cli show`; never a secret. */
  readonly config: Readonly<Record<string, string>>
  /** Ends sockets of the node that are connected over UDP to backends that are gone; how many there were. Throws KernelError. */
  readonly cutSockets: (gone: readonly Place[]) => Promise<number>
}

/** Terway's gRPC and debug sockets, and a loopback port that kubelet's probes can reach (the DaemonSet is on the host's network). */
export const defaultAddresses = {
  grpcSocket: '/var/run/eni/eni.socket',
  debug: `unix://${debugSocket}`,
  probes: '127.0.0.1:9129',
} as const satisfies { grpcSocket: string; debug: ListenAddress; probes: ListenAddress }
export type Addresses = { readonly [K in keyof typeof defaultAddresses]: string }

/**
 * Everything that others read of the daemon: gRPC, and HTTP for metrics, probes and debug pages. Throws AppError
 * `grpc-listen` or `http-listen`. Close in any order; nothing here holds state.
 */
export async function expose(deps: ExposeDeps, addresses: Addresses): Promise<{ close(): Promise<void> }> {
  const { state, metrics, log } = deps
  const daemon = introspection(state, deps.config)
  const probes: Routes = {
    '/healthz': probeRoute(() => ({ ok: true })),
    '/readyz': probeRoute(() => {
      const r = state.readiness()
      return r.ready ? { ok: true } : { ok: false, reason: r.reason }
    }),
    '/metrics': metricsRoute(metrics.registry, () => refreshGauges(metrics, state)),
  }
  const debug: Routes = {
    ...probes,
    '/debug/state': () => ({ status: 200, body: daemon.snapshot() }),
    '/debug/why': async query => ({ status: 200, body: await daemon.why(query.get('namespace') ?? '', query.get('name') ?? '') }),
    [cutPath]: cutRoute(deps.cutSockets),
  }
  const open: { close(): Promise<void> }[] = []
  const close = async () => {
    await Promise.allSettled(open.map(server => server.close()))
  }
  try {
    open.push(await serveHttp(addresses.probes, probes, log))
    open.push(await serveHttp(addresses.debug, debug, log))
    open.push(await serveGrpc({ socket: addresses.grpcSocket, leases: deps.leases, daemon, metrics, clock: deps.clock, log }))
  } catch (e) {
    await close()
    throw e
  }
  return { close }
}
