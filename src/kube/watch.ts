// SPDX-License-Identifier: Apache-2.0
import { type Clock, sleepUnlessAborted } from '#lib/clock.ts'
import { eachLine } from './lines.ts'
import { isObject } from './parse.ts'
import type { KubeObject, Resource, Selector, Watch, WatchHandler } from './port.ts'
import { nameIn } from './resource.ts'
import { StatusError, statusError, unavailable } from './status.ts'
import type { Answer } from './transport.ts'

/** A consistent list, for the watch that follows it. */
export interface Listed<T> {
  readonly items: readonly T[]
  readonly resourceVersion: string
}

/** What a watch needs of the client. */
export interface WatchSource {
  readonly clock: Clock
  /** All pages; `each` makes an item of what came over the wire, page by page, or leaves it out. */
  listPages<T>(r: Resource<KubeObject>, s: Selector, each: (raw: unknown) => T | undefined): Promise<Listed<T>>
  openWatch(
    r: Resource<KubeObject>,
    s: Selector,
    o: { resourceVersion: string; timeoutSeconds: number },
    signal: AbortSignal,
  ): Promise<Answer>
}

/** The server ends a watch after this time; drawn per watch, so that nodes do not come back together. Seconds. */
const minTimeout = 300
/**
 * A connection that the server has not ended this long after its time is half open. Milliseconds. Silence says nothing: for a kind that does not
 * change there are no events and no bookmarks either. A dead peer is found much sooner, by TCP keep-alive (transport.ts).
 */
export const overdue = 30_000
/** A watch that ended sooner than this without any event counts as failed, lest a server that closes at once makes us spin. Milliseconds. */
const tooShort = 1_000
const firstDelay = 500
const maxDelay = 30_000

type Event = { readonly type: string; readonly object: unknown }

/**
 * List, then watch from its version; again from the last version seen after every loss, and from a new list when the server says that
 * this is too old (410). Objects are parsed, so trimmed, one event at a time. Runs until stopped, whatever happens.
 */
export class WatchLoop<T extends KubeObject> implements Watch {
  readonly synced: Promise<void>
  private markSynced: () => void = () => undefined
  private readonly stopper = new AbortController()
  private readonly source: WatchSource
  private readonly resource: Resource<T>
  private readonly selector: Selector
  private readonly handler: WatchHandler<T>
  /** Version to watch from; undefined: list first. */
  private version: string | undefined
  private failures = 0
  private goneInARow = 0

  constructor(source: WatchSource, resource: Resource<T>, selector: Selector, handler: WatchHandler<T>) {
    this.source = source
    this.resource = resource
    this.selector = selector
    this.handler = handler
    this.synced = new Promise(resolve => {
      this.markSynced = resolve
    })
    void this.run()
  }

  stop(): void {
    this.stopper.abort(new Error('stopped'))
  }

  private async run(): Promise<void> {
    const { clock } = this.source
    const { signal } = this.stopper
    while (!signal.aborted) {
      try {
        if (this.version === undefined) await this.relist()
        if (!signal.aborted) await this.follow()
      } catch (e) {
        if (signal.aborted) return
        if (e instanceof StatusError && e.gone) this.forget()
        this.handler.interrupted?.(e)
        await sleepUnlessAborted(clock, this.delay(e), signal)
      }
    }
  }

  /** 410 is an answer: the server is well, so the next list comes soon, unless that is all it ever says. */
  private forget(): void {
    if (this.version !== undefined) this.failures = this.goneInARow
    this.goneInARow++
    this.version = undefined
  }

  /** Doubles from half a second to a quarter of a minute, each up to twice as long by chance. */
  private delay(e: unknown): number {
    const asked = e instanceof StatusError ? (e.retryAfter ?? 0) : 0
    const backoff = Math.min(firstDelay * 2 ** this.failures, maxDelay / 2)
    this.failures++
    return Math.max(asked, backoff * (1 + this.source.clock.random()))
  }

  private async relist(): Promise<void> {
    const { items, resourceVersion } = await this.source.listPages(this.resource, this.selector, raw => this.parsed(raw))
    if (this.stopper.signal.aborted) return
    this.handler.replaced(items)
    this.version = resourceVersion
    this.markSynced()
  }

  /** One connection, until the server ends it (returns), it fails or is overdue (throws). */
  private async follow(): Promise<void> {
    const { clock } = this.source
    const started = clock.now()
    const abort = new AbortController()
    const timeoutSeconds = Math.round(minTimeout * (1 + clock.random()))
    const halfOpen = new Error(`not ended by the server after ${timeoutSeconds} s, the connection is half open`)
    const cancelOverdue = clock.after(timeoutSeconds * 1000 + overdue, () => abort.abort(halfOpen))
    const stop = () => abort.abort(this.stopper.signal.reason)
    this.stopper.signal.addEventListener('abort', stop, { once: true })
    let events = 0
    try {
      const from = { resourceVersion: this.version ?? '', timeoutSeconds }
      const { body } = await this.source.openWatch(this.resource, this.selector, from, abort.signal)
      await eachLine(body, line => {
        if (this.stopper.signal.aborted) return
        events++
        this.event(JSON.parse(line))
        this.failures = 0
        this.goneInARow = 0
      })
    } catch (e) {
      throw abort.signal.aborted ? unavailable(this.label(), abort.signal.reason) : e
    } finally {
      cancelOverdue()
      this.stopper.signal.removeEventListener('abort', stop)
      abort.abort()
    }
    if (events === 0 && clock.now() - started < tooShort) throw unavailable(this.label(), new Error('the server closed at once'))
  }

  private event(e: Event): void {
    switch (e.type) {
      case 'ADDED':
      case 'MODIFIED': {
        const item = this.parsed(e.object)
        if (item !== undefined) this.handler.applied(item)
        break
      }
      case 'DELETED': {
        const item = this.parsed(e.object)
        if (item !== undefined) this.handler.deleted(item)
        // A deletion that cannot be read is still one: the next list shows it.
        else throw new StatusError('unavailable', `${this.label()}: a deleted object cannot be read, listing again`, { status: 410 })
        break
      }
      case 'BOOKMARK':
        break
      case 'ERROR': {
        const code = isObject(e.object) ? Number(e.object.code) : 0
        throw statusError(this.label(), code, e.object)
      }
      default:
        return
    }
    this.version = versionOf(e.object) ?? this.version
  }

  private parsed(raw: unknown): T | undefined {
    if (this.stopper.signal.aborted) return undefined
    try {
      return this.resource.parse(raw)
    } catch (e) {
      const meta = isObject(raw) && isObject(raw.metadata) ? raw.metadata : {}
      const namespace = typeof meta.namespace === 'string' ? meta.namespace : undefined
      if (this.handler.unreadable !== undefined) this.handler.unreadable(String(meta.name ?? nameIn(meta)), namespace, e)
      else this.handler.interrupted?.(e)
      return undefined
    }
  }

  private label(): string {
    return `watch of ${this.resource.plural}`
  }
}

function versionOf(object: unknown): string | undefined {
  const meta = isObject(object) ? object.metadata : undefined
  return isObject(meta) && typeof meta.resourceVersion === 'string' ? meta.resourceVersion : undefined
}
