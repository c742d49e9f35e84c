// SPDX-License-Identifier: Apache-2.0
import type { HealthCheck } from '#compile/service/state.ts'
import { type Ip, withPort } from '#net/ip.ts'
import { type Listening, serveUntil } from '#policyd/listen.ts'
import type { Answer } from '#rpc/http/serve.ts'

export interface HealthChecksDeps extends Omit<Listening, 'failed'> {
  /** Whether terway-policy does its work. */
  healthy(): boolean
  /** Nobody can be told by this port whether the node has endpoints of the Service. */
  failed(check: HealthCheck, reason: unknown): void
}

/** kube-proxy's answer on a healthCheckNodePort, which load balancers ask for Services of policy Local. */
export function healthAnswer({ namespace, name, localEndpoints }: HealthCheck, healthy: boolean): Answer {
  return {
    status: localEndpoints > 0 && healthy ? 200 : 503,
    headers: { 'x-content-type-options': 'nosniff', 'x-load-balancing-endpoint-weight': String(localEndpoints) },
    body: { service: { namespace, name }, localEndpoints, serviceProxyHealthy: healthy },
  }
}

/** The HTTP servers of healthCheckNodePorts, one for each Service and address of the node. */
export class HealthChecks {
  readonly #servers = new Map<string, HealthServer>()
  readonly #deps: HealthChecksDeps

  constructor(deps: HealthChecksDeps) {
    this.#deps = deps
  }

  /** These and no others; one that goes on only learns its new number of endpoints. */
  set(checks: readonly HealthCheck[], addresses: readonly Ip[]): void {
    const wanted = new Map(
      checks.flatMap(check => addresses.map(ip => [`${withPort(ip, check.port)} ${check.namespace}/${check.name}`, { check, ip }])),
    )
    for (const [key, server] of this.#servers) {
      if (wanted.has(key)) continue
      this.#servers.delete(key)
      void server.close()
    }
    for (const [key, { check, ip }] of wanted) {
      const known = this.#servers.get(key)
      if (known === undefined) this.#servers.set(key, new HealthServer(check, ip, this.#deps))
      else known.check = check
    }
  }

  async close(): Promise<void> {
    await Promise.all([...this.#servers.values()].map(server => server.close()))
    this.#servers.clear()
  }
}

/** Listens until it is closed. */
class HealthServer {
  check: HealthCheck
  readonly #stopper = new AbortController()
  readonly #done: Promise<void>

  constructor(check: HealthCheck, ip: Ip, deps: HealthChecksDeps) {
    this.check = check
    this.#done = serveUntil(this.#stopper.signal, withPort(ip, check.port), () => healthAnswer(this.check, deps.healthy()), {
      ...deps,
      failed: reason => deps.failed(this.check, reason),
    })
  }

  async close(): Promise<void> {
    this.#stopper.abort(new Error('closed'))
    await this.#done
  }
}
