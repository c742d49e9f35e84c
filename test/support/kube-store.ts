// SPDX-License-Identifier: Apache-2.0
import { isDeepStrictEqual } from 'node:util'
import type { KubeCode, KubeObject, ObjectMeta } from '#kube/port.ts'
import { AppError } from '#lib/errors.ts'

/** A stored object; deeply frozen, so that readers may share it. */
export type Stored = KubeObject & Readonly<Record<string, unknown>>

/** One step of history. A deletion's `before` carries the version of the deletion, as the API server's event does. */
export interface Change {
  readonly version: number
  readonly before: Stored | undefined
  readonly after: Stored | undefined
}

export interface KindRules {
  readonly kind: string
  readonly namespaced: boolean
  /** Custom resources: status is dropped on create, metadata is fixed in a status write, replace needs a resourceVersion, spec changes count. */
  readonly custom: boolean
  readonly statusSubresource: boolean
  /** Replace without a resourceVersion is allowed. */
  readonly unconditional: boolean
}

export function fail(code: KubeCode, text: string): AppError<KubeCode> {
  return new AppError<KubeCode>(code, text)
}

function deepFreeze<T>(v: T): T {
  if (typeof v === 'object' && v !== null && !Object.isFrozen(v)) {
    Object.freeze(v)
    for (const e of Object.values(v)) deepFreeze(e)
  }
  return v
}

export function keyOf(name: string, namespace: string | undefined): string {
  return `${namespace ?? ''}/${name}`
}

/** The objects of one kind, with the rules by which the API server changes them. Synchronous: one write is one step. */
export class Collection {
  readonly objects = new Map<string, Stored>()
  readonly rules: KindRules

  constructor(rules: KindRules) {
    this.rules = rules
  }

  create(input: KubeObject, next: { version: number; uid: string; time: string }): Change {
    const { metadata, ...rest } = structuredClone(input) as Stored
    const key = keyOf(metadata.name, metadata.namespace)
    if (this.rules.namespaced !== (metadata.namespace !== undefined))
      throw fail('invalid', `${this.rules.kind} ${metadata.name}: metadata.namespace must ${this.rules.namespaced ? '' : 'not '}be set`)
    if (this.objects.has(key)) throw fail('already-exists', `${this.rules.kind} ${key} already exists`)
    const { deletionTimestamp: _, resourceVersion: __, ...meta } = metadata
    const body = this.rules.custom ? withoutStatus(rest) : rest
    const object = { ...body, metadata: { ...meta, uid: next.uid, creationTimestamp: next.time, generation: 1 } } as Stored
    return this.store(undefined, object, next.version)
  }

  /** What `replace` and `patch` come down to: `wanted` is the whole object that the client asks for. */
  update(before: Stored, wanted: Stored, subresource: 'status' | undefined, version: number): Change | undefined {
    const { kind } = this.rules
    const at = wanted.metadata
    if (at.resourceVersion !== undefined && at.resourceVersion !== before.metadata.resourceVersion)
      throw fail(
        'conflict',
        `${kind} ${at.name}: resourceVersion ${at.resourceVersion} is not the present ${before.metadata.resourceVersion}`,
      )
    if (at.uid !== undefined && at.uid !== before.metadata.uid)
      throw fail('conflict', `${kind} ${at.name}: uid ${at.uid} is not the present one`)
    const after = this.merge(before, wanted, subresource)
    if (isDeepStrictEqual(after, before)) return undefined
    if (after.metadata.deletionTimestamp !== undefined && (after.metadata.finalizers ?? []).length === 0 && !this.held(after))
      return this.store(before, undefined, version)
    return this.store(before, after, version)
  }

  private merge(before: Stored, wanted: Stored, subresource: 'status' | undefined): Stored {
    const clone = structuredClone(wanted)
    const fixed = fixedMeta(before.metadata)
    if (subresource === 'status') {
      const metadata = this.rules.custom ? before.metadata : { ...clone.metadata, ...fixed }
      return { ...withoutStatus(before), ...('status' in clone ? { status: clone.status } : {}), metadata } as Stored
    }
    const metadata: ObjectMeta = { ...clone.metadata, ...fixed }
    const old = this.rules.statusSubresource ? { ...withoutStatus(clone), ...('status' in before ? { status: before.status } : {}) } : clone
    const after = { ...old, apiVersion: before.apiVersion, kind: before.kind, metadata } as Stored
    const changed = !isDeepStrictEqual(bodyOf(before), bodyOf(after))
    return changed ? ({ ...after, metadata: { ...metadata, generation: (before.metadata.generation ?? 1) + 1 } } as Stored) : after
  }

  delete(before: Stored, uid: string | undefined, next: { version: number; time: string }): Change | undefined {
    if (uid !== undefined && uid !== before.metadata.uid)
      throw fail('conflict', `${this.rules.kind} ${before.metadata.name}: uid ${uid} is not the present ${before.metadata.uid}`)
    if ((before.metadata.finalizers ?? []).length === 0 && !this.held(before)) return this.store(before, undefined, next.version)
    if (before.metadata.deletionTimestamp !== undefined) return undefined
    return this.store(before, { ...before, metadata: { ...before.metadata, deletionTimestamp: next.time } } as Stored, next.version)
  }

  /** The kubelet ends a pod that runs on a node: until then deletion is only a wish. */
  private held(object: Stored): boolean {
    if (this.rules.kind !== 'Pod' || this.rules.custom) return false
    const { spec, status } = object as { spec?: { nodeName?: string }; status?: { phase?: string } }
    return spec?.nodeName !== undefined && status?.phase !== 'Succeeded' && status?.phase !== 'Failed'
  }

  store(before: Stored | undefined, after: Stored | undefined, version: number): Change {
    const at = after ?? before
    if (at === undefined) throw new Error('nothing to store')
    const key = keyOf(at.metadata.name, at.metadata.namespace)
    const stamped = { ...at, metadata: { ...at.metadata, resourceVersion: String(version) } } as Stored
    deepFreeze(stamped)
    if (after === undefined) this.objects.delete(key)
    else this.objects.set(key, stamped)
    return after === undefined ? { version, before: stamped, after } : { version, before, after: stamped }
  }
}

/** What no client can change. */
function fixedMeta(m: ObjectMeta): Partial<ObjectMeta> {
  const { name, namespace, uid, creationTimestamp, deletionTimestamp, generation, resourceVersion } = m
  return Object.fromEntries(
    Object.entries({ name, namespace, uid, creationTimestamp, deletionTimestamp, generation, resourceVersion }).filter(
      ([, v]) => v !== undefined,
    ),
  )
}

function withoutStatus(object: object): Readonly<Record<string, unknown>> {
  const { status: _, ...rest } = object as Record<string, unknown>
  return rest
}

function bodyOf(object: Stored): unknown {
  const { metadata: _, ...rest } = withoutStatus(object)
  return rest
}
