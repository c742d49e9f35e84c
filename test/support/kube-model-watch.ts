// SPDX-License-Identifier: Apache-2.0
import type { KubeObject, Resource, Selector, Watch, WatchHandler } from '#kube/port.ts'
import type { Clock } from '#lib/clock.ts'
import type { Faults } from './kube-faults.ts'
import { selects } from './kube-selector.ts'
import { type Change, fail, type Stored } from './kube-store.ts'

/** What a watcher reads of the model. */
export interface History {
  version(): number
  /** Undefined: too old, history was forgotten (410). */
  since(version: number): readonly Change[] | undefined
  list(): readonly Stored[]
}

/** One watch: a cursor into a collection's history that is moved by timers, so that events always arrive later than the write. */
export class Watcher<T extends KubeObject> implements Watch {
  readonly client: string
  readonly synced: Promise<void>
  private markSynced: () => void = () => undefined
  /** Version up to which the handler knows everything; undefined: must list. */
  private cursor: number | undefined
  private connected = false
  private stopped = false
  private scheduled: (() => void) | undefined
  private readonly clock: Clock
  private readonly faults: Faults
  private readonly history: History
  private readonly resource: Resource<T>
  private readonly selector: Selector
  private readonly handler: WatchHandler<T>
  private readonly onStop: (w: Watcher<T>) => void

  constructor(o: {
    client: string
    clock: Clock
    faults: Faults
    history: History
    resource: Resource<T>
    selector: Selector
    handler: WatchHandler<T>
    onStop: (w: Watcher<T>) => void
  }) {
    this.client = o.client
    this.clock = o.clock
    this.faults = o.faults
    this.history = o.history
    this.resource = o.resource
    this.selector = o.selector
    this.handler = o.handler
    this.onStop = o.onStop
    this.synced = new Promise(resolve => {
      this.markSynced = resolve
    })
    this.later(this.faults.latency(), () => this.connect())
  }

  stop(): void {
    this.stopped = true
    this.scheduled?.()
    this.onStop(this)
  }

  /** Something changed: deliver it a little later. */
  poke(): void {
    if (this.connected && this.scheduled === undefined) this.later(this.faults.watchDelay(), () => this.deliver())
  }

  cut(reason: string): void {
    if (this.stopped) return
    this.connected = false
    this.scheduled?.()
    this.later(this.faults.reconnectDelay(), () => this.connect())
    this.handler.interrupted?.(fail('unavailable', `watch of ${this.resource.plural}: ${reason}`))
  }

  private later(ms: number, fn: () => void): void {
    const cancel = this.clock.after(ms, () => {
      this.scheduled = undefined
      fn()
    })
    this.scheduled = () => {
      this.scheduled = undefined
      cancel()
    }
  }

  private connect(): void {
    const fault = this.faults.faultFor({ client: this.client, verb: 'watch', plural: this.resource.plural })
    if (fault !== undefined) {
      this.cut(`refused (${fault})`)
      return
    }
    this.connected = true
    if (this.cursor === undefined) this.relist()
    else this.deliver()
  }

  private relist(): void {
    this.cursor = this.history.version()
    const items = this.history.list().filter(o => selects(this.selector, o))
    this.handler.replaced(items.flatMap(o => this.parsed(o) ?? []))
    this.markSynced()
    if (this.cursor < this.history.version()) this.poke()
  }

  private deliver(): void {
    const changes = this.history.since(this.cursor ?? 0)
    if (changes === undefined) {
      this.handler.interrupted?.(
        fail('unavailable', `watch of ${this.resource.plural}: resourceVersion ${this.cursor} is too old, listing again`),
      )
      this.relist()
      return
    }
    for (const change of changes) {
      this.cursor = change.version
      this.one(change)
      if (this.stopped || !this.connected) return
    }
    this.cursor = Math.max(this.cursor ?? 0, changes.at(-1)?.version ?? 0)
  }

  /** An object that stops matching the selector is a deletion for this watch. */
  private one({ before, after }: Change): void {
    const now = after !== undefined && selects(this.selector, after)
    const was = before !== undefined && selects(this.selector, before)
    const item = now ? this.parsed(after) : was ? this.parsed(after ?? before) : undefined
    if (item === undefined) return
    if (now) this.handler.applied(item)
    else this.handler.deleted(item)
  }

  private parsed(object: Stored): T | undefined {
    try {
      return this.resource.parse(object)
    } catch (e) {
      if (this.handler.unreadable !== undefined) this.handler.unreadable(object.metadata.name, object.metadata.namespace, e)
      else this.handler.interrupted?.(e)
      return undefined
    }
  }
}
