// SPDX-License-Identifier: Apache-2.0
import { restoreIds } from '#compile/service/restore.ts'
import { ServiceState } from '#compile/service/state.ts'
import type { ServiceView } from '#compile/service/view.ts'
import type { RawEntry } from '#kernel/state.ts'
import type { KubeObject, Resource, Watch } from '#kube/port.ts'
import type { Node } from '#kube/reflect/node.ts'
import { messageOf } from '#lib/errors.ts'
import { watchCluster } from '#policyd/cluster.ts'
import type { Deps, Options } from '#policyd/deps.ts'
import { GoneBackends } from '#policyd/gone-backends.ts'
import { HealthChecks } from '#policyd/health-checks.ts'
import { serveUntil } from '#policyd/listen.ts'
import { healthz, isEligible, isHealthy, livez, type ProxyState } from '#policyd/proxy-health.ts'
import { syncReport } from '#policyd/report.ts'
import { type Unread, Unreadable } from '#policyd/unreadable.ts'
import { nodeFacts } from '#state/node-facts.ts'
import { Sync, type SyncStatus } from '#sync/sync.ts'

interface About {
  /** A Service unless it says otherwise. */
  readonly apiVersion?: string
  readonly kind?: string
  readonly namespace: string
  readonly name: string
  readonly uid?: string
}

function* rawEntries(entries: Iterable<readonly [key: string, value: string]>): Iterable<RawEntry> {
  for (const [key, value] of entries) yield { key: Buffer.from(key, 'hex'), value: Buffer.from(value, 'hex') }
}

/**
 * Watches → tables → entries → maps, from `start` to `stop`: nothing is taken out of the maps before every watch has listed, and a stop leaves them
 * as they are.
 */
export class Policyd {
  readonly #deps: Deps
  readonly #options: Options
  readonly #sync: Sync
  readonly #checks: HealthChecks
  readonly #gone: GoneBackends
  readonly #stopper = new AbortController()
  #watches: readonly Watch[] = []
  readonly #unreadable: Unreadable[] = []
  #state: ServiceState | undefined
  #node: Node | undefined
  #begun = false
  /** When the first change came that is not compiled yet. */
  #heard: number | undefined
  #lastRound = Number.NEGATIVE_INFINITY
  #cancelRound: (() => void) | undefined
  /** When a backend has drained long enough. */
  #expiry: { readonly time: number; cancel(): void } | undefined
  #lastWrite: number | undefined
  #health: Promise<void> | undefined

  constructor(deps: Deps, options: Options) {
    const { clock, log, metrics, kernel } = deps
    this.#deps = deps
    this.#options = options
    const report = syncReport(clock, log, metrics, wall => {
      this.#lastWrite = wall
      this.#lookForGone()
    })
    this.#gone = new GoneBackends(deps)
    this.#sync = new Sync({ kernel, clock, report }, options.sync)
    const failed = (check: About & { readonly port: number }, e: unknown) => {
      if (options.besideKubeProxy) return
      const message = `node ${options.nodeName} cannot answer health checks on port ${check.port}: ${messageOf(e)}`
      this.#tell(check, 'FailedToStartServiceHealthcheck', message, 'Listen')
    }
    this.#checks = new HealthChecks({ clock, log, failed, healthy: () => isHealthy(this.#proxyState()), retry: options.listenRetry })
  }

  /** Resolves when all that is known of Services is on its way to the maps. Rejects when it is stopped while there are no maps. */
  async start(): Promise<void> {
    const { kube, clock, log } = this.#deps
    this.#health = this.#serveHealth()
    const live = await this.#sync.restore()
    const state = new ServiceState(
      restoreIds(map => rawEntries(live(map))),
      clock.now(),
      this.#options.services,
    )
    this.#state = state
    const { tables } = state
    const ears = {
      tables,
      log,
      node: (n: Node | undefined) => this.#hearOfNode(n, state),
      changed: () => this.#changed(),
      unreadable: (resource: Resource<KubeObject>) => this.#unreadableOf(resource),
    }
    this.#watches = watchCluster(kube, this.#options.nodeName, ears)
    await Promise.all(this.#watches.map(w => w.synced))
    if (this.#stopped) return
    this.#begun = true
    const all = state.take(clock.now())
    this.#gone.hear(all)
    this.#gone.begin()
    this.#sync.begin(all)
    this.#tellResults(state)
  }

  status(): SyncStatus {
    return this.#sync.status()
  }

  views(): readonly ServiceView[] {
    return this.#state?.view() ?? []
  }

  /** What this node's kernel keeps from being served, and what is served as it was since it cannot be read. */
  notes(): readonly string[] {
    const kernel = this.#gone.cannot === undefined ? [] : [`connected sockets of UDP keep a backend that is gone: ${this.#gone.cannot}`]
    return [
      ...kernel,
      ...this.unreadable().map(u => `${u.kind} ${u.namespace}/${u.name} cannot be read, what was known of it stays: ${u.reason}`),
    ]
  }

  unreadable(): readonly Unread[] {
    return this.#unreadable.flatMap(u => [...u.all()])
  }

  async stop(): Promise<void> {
    this.#stopper.abort(new Error('stopped'))
    this.#gone.stop()
    for (const watch of this.#watches) watch.stop()
    this.#cancelRound?.()
    this.#expiry?.cancel()
    await Promise.all([this.#sync.stop(), this.#checks.close(), this.#health])
  }

  get #stopped(): boolean {
    return this.#stopper.signal.aborted
  }

  #lookForGone(): void {
    if (this.#state !== undefined && this.#begun) this.#gone.look(this.#state.tables)
  }

  /** A node that is gone keeps its addresses for as long as this process runs on it. */
  #hearOfNode(node: Node | undefined, state: ServiceState): void {
    const last = this.#node
    this.#node = node ?? (last && { ...last, metadata: { ...last.metadata, deletionTimestamp: 'gone' } })
    if (node !== undefined) state.tables.setNode(nodeFacts(node))
  }

  /** A single change is compiled at once; others that follow soon, together. */
  #changed(): void {
    const { clock } = this.#deps
    this.#heard ??= clock.now()
    if (!this.#begun || this.#stopped || this.#cancelRound !== undefined) return
    const rest = this.#lastRound + this.#options.gather - clock.now()
    this.#cancelRound = clock.after(Math.max(0, rest), () => this.#round())
  }

  #round(): void {
    const now = this.#deps.clock.now()
    const heard = this.#heard ?? now
    this.#cancelRound = undefined
    this.#heard = undefined
    this.#lastRound = now
    if (this.#state === undefined) return
    const changes = this.#state.take(now)
    this.#gone.hear(changes)
    this.#sync.want(changes, heard)
    if (this.#sync.isSettled) this.#lookForGone()
    this.#tellResults(this.#state)
  }

  #tellResults(state: ServiceState): void {
    for (const { about, reason, message } of state.facts()) this.#tell(about, reason, message, 'SyncService')
    this.#checks.set(state.healthChecks(), state.tables.node?.addresses ?? [])
    this.#expireAt(state.nextExpiry())
  }

  #expireAt(time: number | undefined): void {
    if (time === this.#expiry?.time) return
    const { clock } = this.#deps
    this.#expiry?.cancel()
    this.#expiry = time === undefined ? undefined : { time, cancel: clock.after(Math.max(1, time - clock.now()), () => this.#expired()) }
  }

  #expired(): void {
    this.#expiry = undefined
    this.#changed()
  }

  #tell({ apiVersion = 'v1', kind = 'Service', namespace, name, uid }: About, reason: string, message: string, action: string): void {
    const { kube, log } = this.#deps
    log.warn({ kind, name: `${namespace}/${name}`, reason }, message)
    const about = { apiVersion, kind, name, ...(namespace !== '' && { namespace }), ...(uid !== undefined && { uid }) }
    kube.event({ about, type: 'Warning', reason, message, action })
  }

  #unreadableOf(resource: Resource<KubeObject>): Unreadable {
    const made = new Unreadable(resource, u => {
      const message = `node ${this.#options.nodeName} goes on with what it knows of it: ${u.reason}`
      this.#tell(u, 'UnreadableObject', message, 'SyncService')
    })
    this.#unreadable.push(made)
    return made
  }

  #proxyState(): ProxyState {
    const { pendingSince } = this.#sync.status()
    return {
      waiting: pendingSince === undefined ? undefined : this.#deps.clock.now() - pendingSince,
      eligible: this.#node === undefined || isEligible(this.#node),
      lastWrite: this.#lastWrite,
    }
  }

  /** kube-proxy may hold the port for a while. */
  #serveHealth(): Promise<void> {
    const { clock, log } = this.#deps
    const { proxyHealth, listenRetry } = this.#options
    const routes = {
      '/healthz': () => healthz(this.#proxyState(), clock.wall()),
      '/livez': () => livez(this.#proxyState(), clock.wall()),
    }
    const failed = (e: unknown) => log.warn({ err: messageOf(e) }, "kube-proxy's port of health checks is taken; it is tried again")
    return serveUntil(this.#stopper.signal, proxyHealth, routes, { clock, log, retry: listenRetry, failed })
  }
}
