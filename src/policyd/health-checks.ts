// SPDX-License-Identifier: Apache-2.0
import type { HealthCheck } from '#compile/service/state.ts'
import type { Clock } from '#lib/clock.ts'
import type { Logger } from '#lib/log.ts'
import { familyOf, type Ip } from '#net/ip.ts'
import type { Answer } from '#rpc/http/serve.ts'
import { serveHttp } from '#rpc/http/serve.ts'

export interface HealthChecksDeps {
  readonly clock: Clock
  readonly log: Logger
  /** Whether terway-policy does its work. */
  healthy(): boolean
  /** Nobody can be told by this port whether the node has endpoints of the Service. */
  failed(check: HealthCheck, reason: unknown): void
}

interface Server {
  check: HealthCheck
  readonly open: Promise<{ close(): Promise<void> } | undefined>
}

/** kube-proxy's answer on a healthCheckNodePort, which load balancers ask for Services of policy Local. */
export function healthAnswer({ namespace, name, localEndpoints }: HealthCheck, healthy: boolean): Answer {
  return {
    status: localEndpoints > 0 && healthy ? 200 : 503,
    headers: { 'x-content-type-options': 'nosniff', 'x-load-balancing-endpoint-weight': String(localEndpoints) },
    body: { service: { namespace, name }, localEndpoints, serviceProxyHealthy: healthy },
  }
}

/** The HTTP servers of healthCheckNodePorts, one for each Service and address of the node. A port that is taken is tried again. */
export class HealthChecks {
  readonly #servers = new Map<string, Server>()
  readonly #deps: HealthChecksDeps
  readonly #retry: number
  readonly #cancel = new Set<() => void>()

  constructor(deps: HealthChecksDeps, retry: number) {
    this.#deps = deps
    this.#retry = retry
  }

  /** These and no others; one that goes on only learns its new number of endpoints. */
  set(checks: readonly HealthCheck[], addresses: readonly Ip[]): void {
    const wanted = new Map(
      checks.flatMap(check => addresses.map(ip => [`${listenAt(ip, check.port)} ${check.namespace}/${check.name}`, { check, ip }])),
    )
    for (const [key, server] of this.#servers) if (!wanted.has(key)) this.#end(key, server)
    for (const [key, { check, ip }] of wanted) {
      const known = this.#servers.get(key)
      if (known === undefined) this.#begin(key, check, ip)
      else known.check = check
    }
  }

  async close(): Promise<void> {
    for (const cancel of this.#cancel) cancel()
    this.#cancel.clear()
    await Promise.all([...this.#servers].map(([key, server]) => this.#end(key, server)))
  }

  #begin(key: string, check: HealthCheck, ip: Ip, tries = 0): void {
    const server: Server = { check, open: this.#listen(() => server.check, ip, tries) }
    this.#servers.set(key, server)
    void server.open.then(open => {
      if (open !== undefined || this.#servers.get(key) !== server) return
      const cancel = this.#deps.clock.after(this.#retry, () => {
        this.#cancel.delete(cancel)
        if (this.#servers.get(key) === server) this.#begin(key, server.check, ip, tries + 1)
      })
      this.#cancel.add(cancel)
    })
  }

  async #listen(present: () => HealthCheck, ip: Ip, tries: number): Promise<{ close(): Promise<void> } | undefined> {
    const route = () => healthAnswer(present(), this.#deps.healthy())
    try {
      return await serveHttp(listenAt(ip, present().port), route, this.#deps.log)
    } catch (e) {
      if (tries === 0) this.#deps.failed(present(), e)
      return undefined
    }
  }

  async #end(key: string, server: Server): Promise<void> {
    this.#servers.delete(key)
    await (await server.open)?.close()
  }
}

function listenAt(ip: Ip, port: number): string {
  return familyOf(ip) === 6 ? `[${ip}]:${port}` : `${ip}:${port}`
}
