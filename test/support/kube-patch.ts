// SPDX-License-Identifier: Apache-2.0
import { isDeepStrictEqual } from 'node:util'
import { AppError } from '#lib/errors.ts'

type Json = Record<string, unknown>

function isJson(v: unknown): v is Json {
  return typeof v === 'object' && v !== null && !Array.isArray(v)
}

/** RFC 7396: null removes, objects merge, everything else replaces. */
export function mergePatch(target: unknown, patch: unknown): unknown {
  if (!isJson(patch)) return patch
  const out = isJson(target) ? { ...target } : {}
  for (const [key, value] of Object.entries(patch)) {
    if (value === null) delete out[key]
    else out[key] = mergePatch(out[key], value)
  }
  return out
}

/** As RFC 7396, but `conditions` is keyed by `type`, as the API server's types declare it; no other list is keyed here. */
export function strategicPatch(target: unknown, patch: unknown): unknown {
  if (!isJson(patch)) return patch
  const out = isJson(target) ? { ...target } : {}
  for (const [key, value] of Object.entries(patch)) {
    if (value === null) delete out[key]
    else if (key === 'conditions' && Array.isArray(value)) out[key] = mergeConditions(out[key], value)
    else out[key] = strategicPatch(out[key], value)
  }
  return out
}

function mergeConditions(present: unknown, changes: readonly unknown[]): unknown {
  const byType = new Map((Array.isArray(present) ? present : []).filter(isJson).map(c => [c.type, c]))
  for (const change of changes.filter(isJson)) byType.set(change.type, { ...byType.get(change.type), ...change })
  return [...byType.values()]
}

function refuse(text: string): AppError {
  return new AppError('invalid', `the JSON patch does not apply: ${text}`)
}

/** RFC 6902: add, remove, replace, test. Works on a copy. `invalid` when an operation does not apply, as the API server answers (422). */
export function jsonPatch(target: unknown, patch: unknown): unknown {
  if (!Array.isArray(patch)) throw refuse('it is not a list')
  const root = { doc: structuredClone(target) }
  for (const op of patch) {
    if (!isJson(op) || typeof op.path !== 'string') throw refuse('an operation has no path')
    const keys = ['doc', ...op.path.split('/').slice(1).map(decoded)]
    const last = keys.pop() ?? ''
    let at: unknown = root
    for (const key of keys) at = step(at, key, op.path)
    operate(at, last, op, op.path)
  }
  return root.doc
}

function decoded(part: string): string {
  return part.replaceAll('~1', '/').replaceAll('~0', '~')
}

function step(at: unknown, key: string, path: string): unknown {
  const next = Array.isArray(at) ? at[Number(key)] : isJson(at) ? at[key] : undefined
  if (next === undefined) throw refuse(`${path} does not exist`)
  return next
}

function operate(at: unknown, key: string, op: Json, path: string): void {
  if (Array.isArray(at)) {
    operateList(at, key, op, path)
    return
  }
  if (!isJson(at)) throw refuse(`${path} is not inside an object or list`)
  if (op.op !== 'add' && op.op !== 'test' && !(key in at)) throw refuse(`${path} does not exist`)
  if (op.op === 'remove') delete at[key]
  else if (op.op === 'add' || op.op === 'replace') at[key] = op.value
  else if (op.op !== 'test') throw refuse(`${String(op.op)} is not supported`)
  else if (!isDeepStrictEqual(at[key], op.value)) throw refuse(`test of ${path} failed`)
}

function operateList(at: unknown[], key: string, op: Json, path: string): void {
  const i = key === '-' ? at.length : Number(key)
  if (!Number.isInteger(i) || i < 0 || i > at.length || (op.op !== 'add' && i === at.length)) throw refuse(`${path} does not exist`)
  if (op.op === 'remove') at.splice(i, 1)
  else if (op.op === 'add') at.splice(i, 0, op.value)
  else if (op.op === 'replace') at[i] = op.value
  else if (op.op !== 'test') throw refuse(`${String(op.op)} is not supported`)
  else if (!isDeepStrictEqual(at[i], op.value)) throw refuse(`test of ${path} failed`)
}
