// SPDX-License-Identifier: Apache-2.0
import * as Type from 'typebox'
import { badObject, isObject, parseValue, type Unknown } from './parse.ts'
import type { KubeObject, ObjectMeta, Resource } from './port.ts'

const text = Type.String()
const texts = Type.Record(Type.String(), Type.String())

/** The metadata that anyone here reads. managedFields is dropped: the server keeps it when an update leaves it out, and it is the larger half of many objects. */
export const metaSchema = Type.Object({
  name: Type.String({ minLength: 1 }),
  namespace: Type.Optional(text),
  uid: Type.Optional(text),
  resourceVersion: Type.Optional(text),
  generation: Type.Optional(Type.Integer()),
  creationTimestamp: Type.Optional(text),
  deletionTimestamp: Type.Optional(text),
  labels: Type.Optional(texts),
  annotations: Type.Optional(texts),
  finalizers: Type.Optional(Type.Array(text)),
  ownerReferences: Type.Optional(
    Type.Array(
      Type.Object({
        apiVersion: text,
        kind: text,
        name: text,
        uid: text,
        controller: Type.Optional(Type.Boolean()),
        blockOwnerDeletion: Type.Optional(Type.Boolean()),
      }),
    ),
  ),
})

export interface ResourceSpec {
  readonly group: string
  readonly version: string
  readonly plural: string
  readonly kind: string
  readonly namespaced: boolean
  readonly unknown: Unknown
  /** Everything but apiVersion, kind and metadata. */
  readonly body: Type.TSchema
  /** Applied to the raw value before it is checked: old objects that a newer schema would refuse. */
  readonly upgrade?: (raw: Record<string, unknown>) => Record<string, unknown>
}

/** `v1` or `group/version`. */
export function apiVersionOf(r: { readonly group: string; readonly version: string }): string {
  return r.group === '' ? r.version : `${r.group}/${r.version}`
}

/**
 * A Resource whose parse checks metadata and body. T must describe `body`: the two are written side by side in one file.
 * Items of a list come without apiVersion and kind for core kinds; they are filled in.
 */
export function resource<T extends KubeObject>(spec: ResourceSpec): Resource<T> {
  const { group, version, plural, kind, namespaced } = spec
  const apiVersion = apiVersionOf(spec)
  return {
    group,
    version,
    plural,
    kind,
    namespaced,
    parse: raw => {
      if (!isObject(raw)) throw badObject(`${kind}: not an object`)
      if (typeof raw.kind === 'string' && raw.kind !== '' && raw.kind !== kind)
        throw badObject(`kind is ${JSON.stringify(raw.kind)}, must be ${kind}`)
      const { managedFields: _, ...meta } = isObject(raw.metadata) ? raw.metadata : {}
      const what = `${kind} ${nameIn(meta)}`
      const metadata = parseValue(what, metaSchema, meta, spec.unknown, 'metadata') as ObjectMeta
      const body = spec.upgrade === undefined ? raw : spec.upgrade(raw)
      const rest = parseValue(what, spec.body, body, spec.unknown) as object
      return { ...rest, apiVersion, kind, metadata } as T
    },
  }
}

/** `namespace/name` of unchecked metadata, for messages. */
export function nameIn(meta: unknown): string {
  if (!isObject(meta)) return '?'
  const name = String(meta.name ?? '?')
  return typeof meta.namespace === 'string' && meta.namespace !== '' ? `${meta.namespace}/${name}` : name
}
