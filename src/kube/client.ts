// SPDX-License-Identifier: Apache-2.0
import type { Clock } from '#lib/clock.ts'
import { AppError } from '#lib/errors.ts'
import type { KubeConfig } from './config.ts'
import { EventRecorder } from './events.ts'
import { badObject, isObject } from './parse.ts'
import type { EventInput, Kube, KubeCode, KubeObject, Patch, Resource, Selector, Watch, WatchHandler } from './port.ts'
import { apiVersionOf } from './resource.ts'
import { StatusError } from './status.ts'
import { type Answer, type Request, Transport } from './transport.ts'
import { type Listed, WatchLoop, type WatchSource } from './watch.ts'

/** Milliseconds for one request and for one page of a list. */
const requestDeadline = 10_000
const pageDeadline = 60_000
const pageSize = 500

const contentTypes: Readonly<Record<Patch['type'], string>> = {
  merge: 'application/merge-patch+json',
  json: 'application/json-patch+json',
  strategic: 'application/strategic-merge-patch+json',
}

export interface ClientOptions {
  readonly config: KubeConfig
  readonly clock: Clock
  /** Who reports events: component (`terway-daemon`) and instance (node or pod name). */
  readonly reporter: { readonly controller: string; readonly instance: string }
}

/** The API server over HTTP. One implementation for every process: docs/adr/0001-one-kube-client.md. */
export class KubeClient implements Kube, WatchSource {
  readonly clock: Clock
  private readonly transport: Transport
  private readonly events: EventRecorder
  private readonly watches = new Set<Watch>()

  constructor(o: ClientOptions) {
    this.clock = o.clock
    this.transport = new Transport(o.config, o.clock)
    this.events = new EventRecorder(this, o.clock, o.reporter)
  }

  async get<T extends KubeObject>(r: Resource<T>, name: string, namespace?: string): Promise<T | undefined> {
    try {
      return r.parse(await this.json({ method: 'GET', path: objectPath(r, name, namespace) }))
    } catch (e) {
      if (isMissing(e)) return undefined
      throw e
    }
  }

  async list<T extends KubeObject>(r: Resource<T>, s: Selector = {}): Promise<readonly T[]> {
    return (await this.listPages(r, s, raw => r.parse(raw))).items
  }

  async create<T extends KubeObject>(r: Resource<T>, object: T): Promise<T> {
    return r.parse(await this.json({ method: 'POST', path: collectionOf(r, object.metadata.namespace), body: typed(r, object) }))
  }

  async replace<T extends KubeObject>(r: Resource<T>, object: T, subresource?: 'status'): Promise<T> {
    const { name, namespace } = object.metadata
    return r.parse(await this.json({ method: 'PUT', path: objectPath(r, name, namespace, subresource), body: typed(r, object) }))
  }

  async patch<T extends KubeObject>(r: Resource<T>, name: string, patch: Patch, namespace?: string): Promise<T> {
    const contentType = contentTypes[patch.type]
    return r.parse(
      await this.json({ method: 'PATCH', path: objectPath(r, name, namespace, patch.subresource), body: patch.body, contentType }),
    )
  }

  async delete<T extends KubeObject>(r: Resource<T>, name: string, namespace?: string, uid?: string): Promise<void> {
    const body = { apiVersion: 'v1', kind: 'DeleteOptions', ...(uid !== undefined && { preconditions: { uid } }) }
    try {
      await this.json({ method: 'DELETE', path: objectPath(r, name, namespace), body })
    } catch (e) {
      if (!isMissing(e)) throw e
    }
  }

  watch<T extends KubeObject>(r: Resource<T>, s: Selector, handler: WatchHandler<T>): Watch {
    const loop = new WatchLoop(this, r, s, handler)
    const watch = {
      synced: loop.synced,
      stop: () => {
        loop.stop()
        this.watches.delete(watch)
      },
    }
    this.watches.add(watch)
    return watch
  }

  event(e: EventInput): void {
    this.events.report(e)
  }

  /** Stops every watch and closes every connection. */
  async close(): Promise<void> {
    for (const w of [...this.watches]) w.stop()
    await this.transport.close()
  }

  /**
   * A consistent list, parsed page by page so that only one page is ever held whole. Without resourceVersion=0 on purpose: an answer from a stale
   * cache could show the world before our own last writes. When a page token expires (410) the list starts again, once, in one piece.
   */
  async listPages<T>(r: Resource<KubeObject>, s: Selector, each: (raw: unknown) => T | undefined): Promise<Listed<T>> {
    try {
      return await this.pages(r, s, each, pageSize)
    } catch (e) {
      if (!(e instanceof StatusError && e.gone)) throw e
      return await this.pages(r, s, each, 0)
    }
  }

  async openWatch(
    r: Resource<KubeObject>,
    s: Selector,
    o: { resourceVersion: string; timeoutSeconds: number },
    signal: AbortSignal,
  ): Promise<Answer> {
    const path = `${collectionOf(r, s.namespace)}${query(s, {
      watch: 'true',
      allowWatchBookmarks: 'true',
      resourceVersion: o.resourceVersion,
      timeoutSeconds: String(o.timeoutSeconds),
    })}`
    return await this.transport.open({ method: 'GET', path }, signal)
  }

  private async pages<T>(r: Resource<KubeObject>, s: Selector, each: (raw: unknown) => T | undefined, limit: number): Promise<Listed<T>> {
    const items: T[] = []
    let token = ''
    for (;;) {
      const paging = { ...(limit > 0 && { limit: String(limit) }), ...(token !== '' && { continue: token }) }
      const page = await this.transport.json({ method: 'GET', path: `${collectionOf(r, s.namespace)}${query(s, paging)}` }, pageDeadline)
      if (!isObject(page) || !isObject(page.metadata)) throw badObject(`list of ${r.plural}: not a list`)
      for (const raw of Array.isArray(page.items) ? page.items : []) {
        const item = each(raw)
        if (item !== undefined) items.push(item)
      }
      const { continue: next, resourceVersion } = page.metadata
      if (typeof next !== 'string' || next === '') return { items, resourceVersion: String(resourceVersion ?? '') }
      token = next
    }
  }

  private json(r: Request): Promise<unknown> {
    return this.transport.json(r, requestDeadline)
  }
}

function typed<T extends KubeObject>(r: Resource<T>, object: T): T {
  return { ...object, apiVersion: apiVersionOf(r), kind: r.kind }
}

function isMissing(e: unknown): boolean {
  return e instanceof StatusError && e.noSuchObject
}

/** `/apis/group/version[/namespaces/ns]/plural`; all namespaces when a namespaced kind is given none. */
function collectionOf(r: Resource<KubeObject>, namespace?: string): string {
  const root = r.group === '' ? `/api/${r.version}` : `/apis/${r.group}/${r.version}`
  const scope = r.namespaced && namespace !== undefined && namespace !== '' ? `/namespaces/${encodeURIComponent(namespace)}` : ''
  return `${root}${scope}/${r.plural}`
}

/** Refuses what would address something else than one object: the answer, a 404 or a list, would be misread. */
function objectPath(r: Resource<KubeObject>, name: string, namespace?: string, subresource?: 'status'): string {
  if (name === '') throw new AppError<KubeCode>('invalid', `${r.kind}: a name is needed`)
  if (r.namespaced && (namespace === undefined || namespace === ''))
    throw new AppError<KubeCode>('invalid', `${r.kind} ${name}: a namespace is needed`)
  return `${collectionOf(r, namespace)}/${encodeURIComponent(name)}${subresource === undefined ? '' : `/${subresource}`}`
}

function query(s: Selector, more: Readonly<Record<string, string>>): string {
  const q = new URLSearchParams(more)
  if (s.labelSelector !== undefined) q.set('labelSelector', s.labelSelector)
  if (s.fieldSelector !== undefined) q.set('fieldSelector', s.fieldSelector)
  const text = q.toString()
  return text === '' ? '' : `?${text}`
}
