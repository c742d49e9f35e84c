// SPDX-License-Identifier: Apache-2.0
import { isDeepStrictEqual } from 'node:util'

type Json = Readonly<Record<string, unknown>>

/** RFC 7396: objects merge, null deletes, everything else replaces. Neither argument is changed. */
export function applyMerge(target: unknown, patch: unknown): unknown {
  if (!isJson(patch)) return patch
  const out: Record<string, unknown> = isJson(target) ? { ...target } : {}
  for (const [key, value] of Object.entries(patch)) {
    if (value === null) delete out[key]
    else out[key] = applyMerge(out[key], value)
  }
  return out
}

/**
 * The smallest merge patch that turns `from` into `to`; undefined when they are equal. A member that `to` has as undefined
 * or not at all is deleted. Neither value may contain null, which a merge patch cannot say.
 */
export function diffMerge(from: unknown, to: unknown): unknown {
  if (!isJson(from) || !isJson(to)) return isDeepStrictEqual(from, to) ? undefined : to
  const patch: Record<string, unknown> = {}
  for (const key of new Set([...Object.keys(from), ...Object.keys(to)])) {
    if (to[key] === undefined) {
      if (from[key] !== undefined) patch[key] = null
    } else if (from[key] === undefined) patch[key] = to[key]
    else {
      const inner = diffMerge(from[key], to[key])
      if (inner !== undefined) patch[key] = inner
    }
  }
  return Object.keys(patch).length === 0 ? undefined : patch
}

function isJson(v: unknown): v is Json {
  return typeof v === 'object' && v !== null && !Array.isArray(v)
}
