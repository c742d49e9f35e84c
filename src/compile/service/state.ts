// SPDX-License-Identifier: Apache-2.0
import { maps } from '#kernel/bpf/maps.ts'
import { serviceFlag } from '#kernel/bpf/words.ts'
import type { Service } from '#kube/reflect/service.ts'
import { type Change, inOrder } from '#state/entry.ts'
import { ServiceTables } from '#state/service-tables.ts'
import { Backends } from './backends.ts'
import { Claims } from './claims.ts'
import { serviceKey } from './entries.ts'
import { factsOf, type ServiceFact, Telling } from './facts.ts'
import { Frontends } from './frontends.ts'
import { Hashing, mostHashedSets } from './hashing.ts'
import { compileService, type FrontendPlan, type ServicePlan, type SetPlan } from './plan.ts'
import { numbered, Published } from './published.ts'
import { nothingRestored, type RestoredIds } from './restore.ts'
import { type RestoredSet, Sets } from './sets.ts'
import { type ServiceView, viewOf } from './view.ts'

export interface ServiceOptions {
  /** Backends follow from the client (Maglev) where a Service does not say otherwise. */
  readonly maglev?: boolean
  readonly mostHashedSets?: number
}

/** For the load balancer's question on `port`: whether this node has anybody who answers. */
export interface HealthCheck {
  readonly port: number
  readonly namespace: string
  readonly name: string
  readonly localEndpoints: number
}

interface Compiled {
  readonly service: Service
  readonly plan: ServicePlan
  readonly frontends: ReadonlyMap<string, FrontendPlan>
}

const nowhere = { name: '', zone: '', addresses: [] }

/**
 * The Services of this node as entries of maps. Tables take what the watches tell; `take` compiles what has changed since and says which entries
 * that changes, all of them the first time.
 */
export class ServiceState {
  readonly tables = new ServiceTables()
  #restoredSets: Pick<RestoredIds, 'sets' | 'setOf'>
  readonly #options: ServiceOptions
  readonly #claimedSets = new Set<number>()
  readonly #compiled = new Map<string, Compiled>()
  readonly #claims = new Claims()
  readonly #hashing: Hashing
  readonly #published = new Published()
  readonly #health = new Map<string, HealthCheck>()
  readonly #telling = new Telling()
  readonly #backends: Backends
  readonly #frontends: Frontends
  readonly #sets: Sets

  /** `now` is when the restored backends begin to drain, those that no Service has. */
  constructor(restored: RestoredIds, now: number, options: ServiceOptions = {}) {
    this.#restoredSets = restored
    this.#options = options
    this.#hashing = new Hashing(options.mostHashedSets ?? mostHashedSets)
    this.#backends = new Backends(restored.backends, (maps.backends.entries * 3) / 4, now)
    this.#frontends = new Frontends(restored.frontends, maps.frontends.entries / 2)
    this.#sets = new Sets(this.#backends, restored.lastSet)
  }

  /** In the order in which they may be made one by one. */
  take(now: number): readonly Change[] {
    const dirty = this.tables.takeDirty()
    const frontends = new Map<string, FrontendPlan>()
    for (const key of dirty) for (const [id, f] of this.#compile(key)) frontends.set(id, f)
    const rehashed = this.#hashing.settle()
    for (const key of rehashed) for (const [id, f] of this.#compiled.get(key)?.frontends ?? []) frontends.set(id, f)
    const affected = new Set([...dirty, ...rehashed, ...this.#claims.takeChanged().flatMap(id => [...this.#claims.claimants(id)])])
    const parts = [
      ...Array.from(affected, key => this.#updateSets(key, now)),
      ...Array.from(frontends, ([id, f]) => this.#publish(id, f)),
      this.#backends.changes(now),
      this.#frontends.changes(),
    ]
    for (const key of affected) this.#telling.update(key, this.#factsOf(key))
    // What nobody has asked for by now goes.
    this.#restoredSets = nothingRestored
    return inOrder(parts.flat())
  }

  /** When `take` has something to say even if nothing changes: a backend's time is over. */
  nextExpiry(): number | undefined {
    return this.#backends.nextExpiry
  }

  /** Those that are true now and have not been asked for. */
  facts(): readonly ServiceFact[] {
    return this.#telling.take()
  }

  healthChecks(): readonly HealthCheck[] {
    return [...this.#health.values()]
  }

  view(): readonly ServiceView[] {
    return [...this.#compiled].map(([key, { service, plan }]) =>
      viewOf(service, plan, {
        isHashed: this.#hashing.isGranted(key),
        isServed: f => this.#claims.winner(f.key) === key,
        backends: name => this.#sets.backendsOf(key, name),
      }),
    )
  }

  /** Every frontend that it had or has. */
  #compile(key: string): Iterable<readonly [string, FrontendPlan]> {
    const before = this.#compiled.get(key)?.frontends ?? new Map<string, FrontendPlan>()
    for (const id of before.keys()) this.#claims.delete(id, key)
    const service = this.tables.services.get(key)
    if (service === undefined) {
      this.#compiled.delete(key)
      this.#setHealth(key, undefined)
      this.#hashing.wish(key, undefined)
      return before
    }
    const plan = compileService(service, this.tables.slicesOf(key), this.tables.node ?? nowhere)
    const frontends = new Map(plan.frontends.map(f => [f.key, f]))
    this.#compiled.set(key, { service, plan, frontends })
    const { namespace = '', name } = service.metadata
    this.#setHealth(key, plan.health && { ...plan.health, namespace, name })
    this.#hashing.wish(key, (plan.maglev ?? this.#options.maglev) ? { service, sets: plan.sets.length } : undefined)
    for (const id of frontends.keys()) this.#claims.set(id, service)
    return [...before, ...frontends]
  }

  #setHealth(key: string, check: HealthCheck | undefined): void {
    if (check === undefined) this.#health.delete(key)
    else this.#health.set(key, check)
  }

  #updateSets(key: string, now: number): readonly Change[] {
    const plan = this.#compiled.get(key)?.plan
    const served = plan?.frontends.filter(f => this.#claims.winner(f.key) === key) ?? []
    const used = new Set(served.flatMap(f => [f.inside.set, f.outside?.set]))
    const plans = plan?.sets.filter(s => used.has(s.name)) ?? []
    return this.#sets.update(key, { plans, hashed: this.#hashing.isGranted(key), claim: set => this.#claimSet(served, set) }, now)
  }

  /** The set that an earlier process had for one of its frontends. */
  #claimSet(served: readonly FrontendPlan[], set: SetPlan): RestoredSet | undefined {
    for (const f of served) {
      for (const scope of ['inside', 'outside'] as const) {
        const id = f[scope]?.set === set.name ? this.#restoredSets.setOf.get(serviceKey(f, scope)) : undefined
        if (id === undefined || this.#claimedSets.has(id)) continue
        this.#claimedSets.add(id)
        return this.#restoredSets.sets.get(id) ?? { id, slots: [] }
      }
    }
    return undefined
  }

  #publish(id: string, frontend: FrontendPlan): readonly Change[] {
    const winner = this.#claims.winner(id) ?? ''
    const plan = this.#compiled.get(winner)?.frontends.get(id)
    if (plan === undefined) {
      this.#frontends.leave(frontend)
      return this.#published.differences(id, undefined)
    }
    const next = numbered(plan, {
      frontend: this.#frontends.use(plan),
      set: name => this.#sets.numberOf(winner, name) ?? 0,
      flags: this.#hashing.isGranted(winner) ? serviceFlag.hashed : 0,
    })
    return this.#published.differences(id, next)
  }

  #factsOf(key: string): readonly ServiceFact[] {
    const compiled = this.#compiled.get(key)
    if (compiled === undefined) return []
    const lost = compiled.plan.frontends.flatMap(frontend => {
      const to = this.#claims.winner(frontend.key) ?? key
      return to === key ? [] : [{ frontend, to }]
    })
    return factsOf(compiled.service, {
      unsupported: compiled.plan.unsupported,
      localOnly: compiled.plan.localOnly,
      lost,
      isMaglevRefused: this.#hashing.isRefused(key),
      mostHashedSets: this.#options.mostHashedSets ?? mostHashedSets,
    })
  }
}
