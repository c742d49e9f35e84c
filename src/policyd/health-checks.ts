// SPDX-License-Identifier: Apache-2.0
import type { HealthCheck } from '#compile/service/state.ts'
import type { Clock } from '#lib/clock.ts'
import type { Logger } from '#lib/log.ts'
import { type Ip, withPort } from '#net/ip.ts'
import { type Answer, serveHttp } from '#rpc/http/serve.ts'

export interface HealthChecksDeps {
  readonly clock: Clock
  readonly log: Logger
  /** Whether terway-policy does its work. */
  healthy(): boolean
  /** Nobody can be told by this port whether the node has endpoints of the Service. */
  failed(check: HealthCheck, reason: unknown): void
  /** Milliseconds until a port that is taken is tried again. */
  readonly retry: number
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

/** Listens until it is closed. A port that is taken is tried again. */
class HealthServer {
  check: HealthCheck
  readonly #stopper = new AbortController()
  readonly #done: Promise<void>

  constructor(check: HealthCheck, ip: Ip, deps: HealthChecksDeps) {
    this.check = check
    this.#done = this.#serve(withPort(ip, check.port), deps)
  }

  async close(): Promise<void> {
    this.#stopper.abort(new Error('closed'))
    await this.#done
  }

  async #serve(address: string, { clock, log, healthy, failed, retry }: HealthChecksDeps): Promise<void> {
    const { signal } = this.#stopper
    const closed = new Promise<void>(done => signal.addEventListener('abort', () => done(), { once: true }))
    for (let tries = 0; !signal.aborted; tries++) {
      try {
        const server = await serveHttp(address, () => healthAnswer(this.check, healthy()), log)
        await closed
        return await server.close()
      } catch (e) {
        if (tries === 0) failed(this.check, e)
        await clock.sleep(retry, signal).catch(() => undefined)
      }
    }
  }
}
