// SPDX-License-Identifier: Apache-2.0

export interface OwnerReference {
  readonly apiVersion: string
  readonly kind: string
  readonly name: string
  readonly uid: string
  readonly controller?: boolean
  readonly blockOwnerDeletion?: boolean
}

export interface ObjectMeta {
  readonly name: string
  readonly namespace?: string
  readonly uid?: string
  readonly resourceVersion?: string
  readonly generation?: number
  readonly creationTimestamp?: string
  readonly deletionTimestamp?: string
  readonly labels?: Readonly<Record<string, string>>
  readonly annotations?: Readonly<Record<string, string>>
  readonly finalizers?: readonly string[]
  readonly ownerReferences?: readonly OwnerReference[]
}

export interface KubeObject {
  readonly apiVersion: string
  readonly kind: string
  readonly metadata: ObjectMeta
}

/**
 * One kind as the API server serves it. `parse` turns what came over the wire into the (possibly trimmed) value that the
 * process keeps; it throws AppError `bad-object` with the path of the field.
 */
export interface Resource<T extends KubeObject> {
  readonly group: string
  readonly version: string
  readonly plural: string
  readonly kind: string
  readonly namespaced: boolean
  parse(raw: unknown): T
}

export interface Selector {
  readonly namespace?: string
  readonly labelSelector?: string
  readonly fieldSelector?: string
}

/**
 * merge = RFC 7396; json = RFC 6902; strategic = Kubernetes' own, for built-in kinds only: it merges a keyed list (a node's conditions, by
 * type) entry by entry, so several writers can share it. `subresource: 'status'` where the kind has one.
 */
export interface Patch {
  readonly type: 'merge' | 'json' | 'strategic'
  readonly body: unknown
  readonly subresource?: 'status'
}

export interface WatchHandler<T> {
  /** The whole set, after each (re)list: what is not in it is gone. */
  replaced(items: readonly T[]): void
  applied(item: T): void
  deleted(item: T): void
  /** The connection was lost or refused; the watch goes on by itself. For logs and metrics. */
  interrupted?(reason: unknown): void
  /**
   * An object exists but `parse` refused it (`bad-object`). It is left out of `replaced` (which follows) and of `applied`: what was known of
   * it before stays the best knowledge, so do not take it for gone. Without this method the reason goes to `interrupted`.
   */
  unreadable?(name: string, namespace: string | undefined, reason: unknown): void
}

export interface Watch {
  /** Resolves after the first `replaced`. */
  readonly synced: Promise<void>
  stop(): void
}

export interface EventInput {
  /** The object that the event is about. */
  readonly about: {
    readonly apiVersion: string
    readonly kind: string
    readonly name: string
    readonly namespace?: string
    readonly uid?: string
  }
  readonly type: 'Normal' | 'Warning'
  readonly reason: string
  readonly message: string
  /** The verb of events.k8s.io/v1, e.g. AllocIP. */
  readonly action: string
}

export type KubeCode =
  | 'not-found'
  | 'already-exists'
  | 'conflict'
  | 'forbidden'
  | 'unauthorized'
  | 'invalid'
  | 'throttled'
  | 'unavailable'
  | 'bad-object'

/** The API server as meaning. Failures are AppError<KubeCode>; `unavailable` covers refused, reset and timed-out connections. */
export interface Kube {
  /** Undefined when it does not exist. A kind that is not served at all (no such CRD) is `not-found` instead. */
  get<T extends KubeObject>(r: Resource<T>, name: string, namespace?: string): Promise<T | undefined>
  list<T extends KubeObject>(r: Resource<T>, s?: Selector): Promise<readonly T[]>
  create<T extends KubeObject>(r: Resource<T>, object: T): Promise<T>
  /** Optimistic: with metadata.resourceVersion set, `conflict` when it is not the present one. */
  replace<T extends KubeObject>(r: Resource<T>, object: T, subresource?: 'status'): Promise<T>
  patch<T extends KubeObject>(r: Resource<T>, name: string, patch: Patch, namespace?: string): Promise<T>
  /** Succeeds also when it does not exist. With `uid`: `conflict` when the present object has another one. */
  delete<T extends KubeObject>(r: Resource<T>, name: string, namespace?: string, uid?: string): Promise<void>
  watch<T extends KubeObject>(r: Resource<T>, s: Selector, handler: WatchHandler<T>): Watch
  /** Best effort: never throws, at most one identical event a minute. */
  event(e: EventInput): void
}
