// SPDX-License-Identifier: Apache-2.0
import type { EventInput, Kube, KubeObject, Patch, Resource, Selector, Watch, WatchHandler } from '#kube/port.ts'
import { apiVersionOf } from '#kube/resource.ts'
import type { Clock } from '#lib/clock.ts'
import { type Call, Faults } from './kube-faults.ts'
import { Watcher } from './kube-model-watch.ts'
import { jsonPatch, mergePatch, strategicPatch } from './kube-patch.ts'
import { admit } from './kube-schema.ts'
import { selects } from './kube-selector.ts'
import { type Change, Collection, fail, keyOf, type Stored } from './kube-store.ts'

const withoutStatus = new Set(['configmaps', 'leases', 'events', 'secrets'])
const maxHistory = 5000
const patches = { merge: mergePatch, json: jsonPatch, strategic: strategicPatch }

interface Kind {
  readonly collection: Collection
  readonly history: Change[]
  /** Changes up to this version are forgotten. */
  forgotten: number
  readonly watchers: Set<Watcher<KubeObject>>
}

export interface ModelEvent extends EventInput {
  readonly client: string
}

/**
 * An API server in memory behind the same port as the real one: versions, optimistic conflicts, the status subresource, finalizers,
 * selectors, watches. Everything happens through the injected clock and in the order of requests, so a run under virtual time
 * repeats exactly. `client` gives each process its own port, so that faults can strike one of them.
 *
 * Unlike the real one: core kinds keep a status given at creation and are not validated; field selectors work on every field; a pod that runs
 * on a node stays after its deletion until `remove` (there is no kubelet); the schemas of Terway's kinds hold without installing a CRD.
 */
export class KubeModel {
  readonly faults: Faults
  readonly events: ModelEvent[] = []
  private readonly clock: Clock
  private readonly kinds = new Map<string, Kind>()
  private lastVersion = 0
  private readonly prunes = new Map<string, (object: Stored) => Stored>()

  constructor(clock: Clock) {
    this.clock = clock
    this.faults = new Faults(
      clock,
      (client, reason) => this.cut(client, reason),
      () => this.forget(),
    )
  }

  client(name: string): Kube {
    return new ModelClient(name, this.clock, this)
  }

  /** Puts a whole object there, status included, as if its writer had done so; no conflict, no subresource. */
  put<T extends KubeObject>(r: Resource<T>, object: T): T {
    const { collection } = this.kind(r)
    const before = collection.objects.get(keyOf(object.metadata.name, object.metadata.namespace))
    const { uid, creationTimestamp, ...meta } = object.metadata
    const metadata = { ...meta, uid: before?.metadata.uid ?? uid ?? this.clock.uuid(), creationTimestamp: creationTimestamp ?? this.time() }
    const after = structuredClone({ ...object, apiVersion: apiVersionOf(r), kind: r.kind, metadata }) as unknown as Stored
    const change = collection.store(before, after, ++this.lastVersion)
    this.record(r, change)
    return r.parse(change.after)
  }

  /** Ends an object at once, finalizers or not: what the kubelet does with a pod at last. */
  remove(r: Resource<KubeObject>, name: string, namespace?: string): void {
    const { collection } = this.kind(r)
    const before = collection.objects.get(keyOf(name, namespace))
    if (before !== undefined) this.record(r, collection.store(before, undefined, ++this.lastVersion))
  }

  /** For invariants: the present state, without a request. */
  all<T extends KubeObject>(r: Resource<T>): readonly T[] {
    return this.stored(r).map(o => r.parse(o))
  }

  read<T extends KubeObject>(r: Resource<T>, name: string, namespace?: string): T | undefined {
    const object = this.kind(r).collection.objects.get(keyOf(name, namespace))
    return object === undefined ? undefined : r.parse(object)
  }

  /** Every write of this kind passes through `fn` first: an API server whose CRD is older prunes the fields it does not know. */
  prune(r: Resource<KubeObject>, fn: (object: Stored) => Stored): void {
    this.prunes.set(idOf(r), fn)
  }

  stored(r: Resource<KubeObject>): readonly Stored[] {
    return [...this.kind(r).collection.objects.values()].sort((a, b) => (keyed(a) < keyed(b) ? -1 : 1))
  }

  lookup(r: Resource<KubeObject>, name: string, namespace: string | undefined): Stored | undefined {
    return this.kind(r).collection.objects.get(keyOf(name, namespace))
  }

  create(r: Resource<KubeObject>, object: KubeObject): Stored {
    const { collection } = this.kind(r)
    const input = this.pruned(r, { ...object, apiVersion: apiVersionOf(r), kind: r.kind } as Stored)
    const change = collection.create(input, { version: this.lastVersion + 1, uid: this.clock.uuid(), time: this.time() })
    return this.record(r, change)
  }

  update(r: Resource<KubeObject>, before: Stored, wanted: Stored, subresource: 'status' | undefined): Stored {
    const change = this.kind(r).collection.update(before, this.pruned(r, wanted), subresource, this.lastVersion + 1)
    return change === undefined ? before : this.record(r, change)
  }

  delete(r: Resource<KubeObject>, before: Stored, uid: string | undefined): void {
    const change = this.kind(r).collection.delete(before, uid, { version: this.lastVersion + 1, time: this.time() })
    if (change !== undefined) this.record(r, change)
  }

  watch<T extends KubeObject>(client: string, r: Resource<T>, selector: Selector, handler: WatchHandler<T>): Watch {
    const kind = this.kind(r)
    const history = {
      version: () => this.lastVersion,
      since: (v: number) => (v < kind.forgotten ? undefined : kind.history.slice(firstAfter(kind.history, v))),
      list: () => this.stored(r),
    }
    const onStop = (w: Watcher<T>) => kind.watchers.delete(w as unknown as Watcher<KubeObject>)
    const watcher = new Watcher<T>({ client, clock: this.clock, faults: this.faults, history, resource: r, selector, handler, onStop })
    kind.watchers.add(watcher as unknown as Watcher<KubeObject>)
    return watcher
  }

  private record(r: Resource<KubeObject>, change: Change): Stored {
    const kind = this.kind(r)
    this.lastVersion = change.version
    kind.history.push(change)
    if (kind.history.length > maxHistory) kind.forgotten = kind.history.shift()?.version ?? kind.forgotten
    for (const w of kind.watchers) w.poke()
    const result = change.after ?? change.before
    if (result === undefined) throw new Error('a change of nothing')
    return result
  }

  private kind(r: Resource<KubeObject>): Kind {
    const id = idOf(r)
    const known = this.kinds.get(id)
    if (known !== undefined) return known
    const custom = r.group.endsWith('alibabacloud.com')
    const collection = new Collection({
      kind: r.kind,
      namespaced: r.namespaced,
      custom,
      statusSubresource: !withoutStatus.has(r.plural),
      unconditional: !custom && r.plural !== 'leases',
    })
    const kind: Kind = { collection, history: [], forgotten: 0, watchers: new Set() }
    this.kinds.set(id, kind)
    return kind
  }

  rulesOf(r: Resource<KubeObject>): Collection['rules'] {
    return this.kind(r).collection.rules
  }

  private pruned(r: Resource<KubeObject>, object: Stored): Stored {
    const admitted = admit(r.group, r.plural, object)
    const prune = this.prunes.get(idOf(r))
    return prune === undefined ? admitted : prune(structuredClone(admitted))
  }

  private cut(client: string | undefined, reason: string): void {
    for (const { watchers } of this.kinds.values())
      for (const w of [...watchers]) if (client === undefined || w.client === client) w.cut(reason)
  }

  private forget(): void {
    for (const kind of this.kinds.values()) {
      kind.forgotten = this.lastVersion
      kind.history.length = 0
    }
  }

  private time(): string {
    return `${new Date(this.clock.wall()).toISOString().slice(0, 19)}Z`
  }
}

/** Index of the first change after the version; history is in the order of versions. */
function firstAfter(history: readonly Change[], version: number): number {
  let [low, high] = [0, history.length]
  while (low < high) {
    const middle = (low + high) >> 1
    if ((history[middle]?.version ?? 0) > version) high = middle
    else low = middle + 1
  }
  return low
}

function idOf(r: Resource<KubeObject>): string {
  return `${apiVersionOf(r)}/${r.plural}`
}

function keyed(o: Stored): string {
  return keyOf(o.metadata.name, o.metadata.namespace)
}

/** One process's connection: each request takes its way there, is done in one step, and takes its way back. */
class ModelClient implements Kube {
  private readonly name: string
  private readonly clock: Clock
  private readonly model: KubeModel

  constructor(name: string, clock: Clock, model: KubeModel) {
    this.name = name
    this.clock = clock
    this.model = model
  }

  get<T extends KubeObject>(r: Resource<T>, name: string, namespace?: string): Promise<T | undefined> {
    return this.request({ verb: 'get', plural: r.plural, name }, () => {
      const found = this.located(r, name, namespace)
      return found === undefined ? undefined : r.parse(found)
    })
  }

  list<T extends KubeObject>(r: Resource<T>, s: Selector = {}): Promise<readonly T[]> {
    return this.request({ verb: 'list', plural: r.plural }, () =>
      this.model
        .stored(r)
        .filter(o => selects(s, o))
        .map(o => r.parse(o)),
    )
  }

  create<T extends KubeObject>(r: Resource<T>, object: T): Promise<T> {
    return this.request({ verb: 'create', plural: r.plural, name: object.metadata.name }, () => r.parse(this.model.create(r, object)))
  }

  replace<T extends KubeObject>(r: Resource<T>, object: T, subresource?: 'status'): Promise<T> {
    const { name, namespace, resourceVersion } = object.metadata
    return this.request({ verb: 'replace', plural: r.plural, name, ...(subresource && { subresource }) }, () => {
      const before = this.present(r, name, namespace)
      if (resourceVersion === undefined && !this.model.rulesOf(r).unconditional)
        throw fail('invalid', `${r.kind} ${name}: metadata.resourceVersion must be given for an update`)
      return r.parse(this.model.update(r, before, object as unknown as Stored, subresource))
    })
  }

  patch<T extends KubeObject>(r: Resource<T>, name: string, patch: Patch, namespace?: string): Promise<T> {
    const { type, body, subresource } = patch
    return this.request({ verb: 'patch', plural: r.plural, name, ...(subresource && { subresource }) }, () => {
      const before = this.present(r, name, namespace)
      const wanted = patches[type](before, body)
      return r.parse(this.model.update(r, before, wanted as Stored, subresource))
    })
  }

  delete<T extends KubeObject>(r: Resource<T>, name: string, namespace?: string, uid?: string): Promise<void> {
    return this.request({ verb: 'delete', plural: r.plural, name }, () => {
      const before = this.located(r, name, namespace)
      if (before !== undefined) this.model.delete(r, before, uid)
    })
  }

  watch<T extends KubeObject>(r: Resource<T>, s: Selector, handler: WatchHandler<T>): Watch {
    return this.model.watch(this.name, r, s, handler)
  }

  event(e: EventInput): void {
    this.model.events.push({ ...e, client: this.name })
  }

  private present(r: Resource<KubeObject>, name: string, namespace: string | undefined): Stored {
    const found = this.located(r, name, namespace)
    if (found === undefined) throw fail('not-found', `${r.kind} ${keyOf(name, namespace)} does not exist`)
    return found
  }

  /** A missing namespace would look like a missing object. */
  private located(r: Resource<KubeObject>, name: string, namespace: string | undefined): Stored | undefined {
    if (name === '') throw fail('invalid', `${r.kind}: a name is needed`)
    if (r.namespaced && (namespace ?? '') === '') throw fail('invalid', `${r.kind} ${name}: a namespace is needed`)
    return this.model.lookup(r, name, r.namespaced ? namespace : undefined)
  }

  private async request<R>(call: Omit<Call, 'client'>, fn: () => R): Promise<R> {
    const { faults } = this.model
    await this.clock.sleep(faults.latency())
    const fault = faults.faultFor({ ...call, client: this.name })
    if (fault !== undefined && fault !== 'lost') throw fail(fault, `${call.verb} ${call.plural} ${call.name ?? ''}: injected fault`)
    const result = fn()
    await this.clock.sleep(faults.latency())
    if (fault === 'lost') throw fail('unavailable', `${call.verb} ${call.plural} ${call.name ?? ''}: the answer was lost`)
    return result
  }
}
