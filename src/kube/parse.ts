// SPDX-License-Identifier: Apache-2.0
import type { TSchema } from 'typebox'
import { AppError } from '#lib/errors.ts'
import type { KubeCode } from './port.ts'
import { mapValueOf, type Shape, shapeOf } from './shape.ts'

/** `keep`: custom resources, whose unknown fields must survive a round trip. `drop`: trimmed core kinds, to save memory. */
export type Unknown = 'keep' | 'drop'

type JsonObject = Record<string, unknown>

export function isObject(v: unknown): v is JsonObject {
  return typeof v === 'object' && v !== null && !Array.isArray(v)
}

/** At most this many wrong fields are named in one message. */
const maxProblems = 5

class Check {
  readonly problems: string[] = []
  readonly unknown: Unknown
  private readonly named: boolean

  /** `named`: with the paths of fields, which take longer than all the rest and are of use only when something is wrong. */
  constructor(unknown: Unknown, named: boolean) {
    this.unknown = unknown
    this.named = named
  }

  value(shape: Shape, v: unknown, path: string): unknown {
    switch (shape.type) {
      case 'object':
        return isObject(v) ? this.object(shape, v, path) : this.wrong(path, v, 'an object')
      case 'array':
        return Array.isArray(v) ? this.array(shape, v, path) : this.wrong(path, v, 'a list')
      case 'integer':
        if (!Number.isSafeInteger(v)) return this.wrong(path, v, 'an integer')
        if (shape.minimum !== undefined && Number(v) < shape.minimum) return this.wrong(path, v, `at least ${shape.minimum}`)
        return v
      case 'boolean':
        return typeof v === 'boolean' ? v : this.wrong(path, v, 'true or false')
      case 'string':
        return typeof v === 'string' ? this.string(shape, v, path) : this.wrong(path, v, 'a string')
      default:
        if (shape.enum !== undefined && !shape.enum.some(e => e === v)) return this.wrong(path, v, `one of ${shape.enum.join(', ')}`)
        return v
    }
  }

  private string(shape: Shape, v: string, path: string): string {
    if (shape.format === 'date-time' && Number.isNaN(Date.parse(v))) this.wrong(path, v, 'a time (RFC 3339)')
    if (v.length < (shape.minLength ?? 0)) this.wrong(path, v, `at least ${shape.minLength} characters`)
    return v
  }

  private array(shape: Shape, v: readonly unknown[], path: string): unknown {
    const { items } = shape
    return items === undefined ? v : v.map((e, i) => this.value(items, e, this.named ? `${path}[${i}]` : ''))
  }

  private object(shape: Shape, v: JsonObject, path: string): JsonObject {
    const map = mapValueOf(shape)
    if (map !== undefined) return Object.fromEntries(Object.entries(v).map(([k, e]) => [k, this.value(map, e, this.at(path, k))]))
    const out: JsonObject = this.unknown === 'keep' ? { ...v } : {}
    for (const [key, field] of Object.entries(shape.properties ?? {})) {
      const e = v[key]
      // Go prints a zero time as null; the API server prunes such nulls, other writers may not: null is absent.
      if (e !== undefined && e !== null) out[key] = this.value(field, e, this.at(path, key))
      else if (shape.required?.includes(key)) this.wrong(this.at(path, key), e, 'present')
      else if (e === null) delete out[key]
    }
    return out
  }

  private at(path: string, key: string): string {
    return this.named ? join(path, key) : ''
  }

  private wrong(path: string, v: unknown, expected: string): undefined {
    const text = v === undefined ? 'missing' : (JSON.stringify(v) ?? String(v))
    this.problems.push(`${path} is ${text.length > 80 ? `${text.slice(0, 80)}…` : text}, must be ${expected}`)
    return undefined
  }
}

function join(path: string, key: string): string {
  if (!/^[A-Za-z_][\w-]*$/.test(key)) return `${path}[${JSON.stringify(key)}]`
  return path === '' ? key : `${path}.${key}`
}

export function badObject(message: string, cause?: unknown): AppError<KubeCode> {
  return new AppError<KubeCode>('bad-object', message, { cause })
}

/**
 * Checks a value against a schema and returns a cleaned copy; null in an optional field means absent.
 * Throws `bad-object`: "Node cn-a: status.networkInterfaces[\"eni-1\"].status is 3, must be a string".
 */
export function parseValue(what: string, schema: TSchema, raw: unknown, unknown: Unknown, at = ''): unknown {
  const shape = shapeOf(schema)
  const quick = new Check(unknown, false)
  const value = quick.value(shape, raw, '')
  if (quick.problems.length === 0) return value
  const check = new Check(unknown, true)
  check.value(shape, raw, at)
  const more = check.problems.length - maxProblems
  throw badObject(`${what}: ${check.problems.slice(0, maxProblems).join('; ')}${more > 0 ? `; and ${more} more` : ''}`)
}
