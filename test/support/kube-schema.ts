// SPDX-License-Identifier: Apache-2.0
import type { Definition } from '#kube/crd/definition.ts'
import { definitions } from '#kube/crd/definitions.ts'
import { isObject, parseValue } from '#kube/parse.ts'
import { nameIn } from '#kube/resource.ts'
import { mapValueOf, type Shape, shapeOf } from '#kube/shape.ts'
import { messageOf } from '#lib/errors.ts'
import { fail, type Stored } from './kube-store.ts'

const byKind = new Map<string, Definition>(definitions.map(d => [`${d.resource.group}/${d.resource.plural}`, d]))

/** What an installed CRD does to an object on its way in: unknown fields are pruned, defaults are set, and what is wrong is refused as `invalid`. */
export function admit(group: string, plural: string, object: Stored): Stored {
  const definition = byKind.get(`${group}/${plural}`)
  if (definition === undefined) return object
  const { apiVersion, kind, metadata } = object
  const parts = { spec: definition.spec, status: definition.status }
  const out: Record<string, unknown> = { apiVersion, kind, metadata }
  for (const [part, schema] of Object.entries(parts)) {
    if (object[part] === undefined || object[part] === null) continue
    try {
      out[part] = parseValue(`${kind} ${nameIn(metadata)}`, schema, withDefaults(shapeOf(schema), object[part]), 'drop', part)
    } catch (e) {
      throw fail('invalid', messageOf(e))
    }
  }
  return out as unknown as Stored
}

function withDefaults(shape: Shape, v: unknown): unknown {
  const { items } = shape
  if (Array.isArray(v)) return items === undefined ? v : v.map(e => withDefaults(items, e))
  if (!isObject(v)) return v
  const map = mapValueOf(shape)
  if (map !== undefined) return Object.fromEntries(Object.entries(v).map(([k, e]) => [k, withDefaults(map, e)]))
  const out: Record<string, unknown> = {}
  for (const [key, field] of Object.entries(shape.properties ?? {})) {
    const e = v[key] ?? field.default
    if (e !== undefined) out[key] = withDefaults(field, e)
  }
  return out
}
