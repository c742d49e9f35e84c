// SPDX-License-Identifier: Apache-2.0
import { CloudError } from '#cloud/errors.ts'

/**
 * Reads fields of a parsed reply by path. A reply that lacks what its API promises is `BadReply`: the call may have taken
 * effect, so it is treated like a lost answer and never as "nothing there".
 */
export interface Reply {
  text(key: string): string
  optional(key: string): string | undefined
  number(key: string): number
  optionalNumber(key: string): number | undefined
  flag(key: string): boolean
  /** A nested record; empty when absent. */
  record(key: string): Reply
  /** Records in `key.inner` (the JSON form of lists in RPC replies); empty when absent. */
  records(key: string, inner: string): readonly Reply[]
  /** Strings in `key.inner`; empty when absent. */
  texts(key: string, inner: string): readonly string[]
}

export function replyOf(action: string, body: unknown, at = ''): Reply {
  if (typeof body !== 'object' || body === null || Array.isArray(body))
    throw new CloudError(action, 'BadReply', `${at || 'the reply'} is not an object`)
  const fields: Readonly<Record<string, unknown>> = { ...body }
  const bad = (key: string, expected: string) => new CloudError(action, 'BadReply', `${at}${key} is not ${expected}`)
  const optional = (key: string) => {
    const value = fields[key]
    if (value === undefined || value === null || value === '') return undefined
    if (typeof value !== 'string') throw bad(key, 'a string')
    return value
  }
  const optionalNumber = (key: string) => {
    const value = fields[key]
    if (value === undefined || value === null) return undefined
    if (typeof value !== 'number') throw bad(key, 'a number')
    return value
  }
  const list = (key: string, inner: string): readonly unknown[] => {
    const value = fields[key]
    if (value === undefined || value === null) return []
    if (typeof value !== 'object') throw bad(key, 'an object')
    const items = (value as Readonly<Record<string, unknown>>)[inner]
    if (items === undefined || items === null) return []
    if (!Array.isArray(items)) throw bad(`${key}.${inner}`, 'a list')
    return items
  }
  return {
    optional,
    optionalNumber,
    text: key => {
      const value = optional(key)
      if (value === undefined) throw bad(key, 'a string')
      return value
    },
    number: key => {
      const value = optionalNumber(key)
      if (value === undefined) throw bad(key, 'a number')
      return value
    },
    flag: key => fields[key] === true,
    record: key => replyOf(action, fields[key] ?? {}, `${at}${key}.`),
    records: (key, inner) => list(key, inner).map((item, i) => replyOf(action, item, `${at}${key}.${inner}[${i}].`)),
    texts: (key, inner) =>
      list(key, inner).map(item => {
        if (typeof item !== 'string') throw bad(`${key}.${inner}`, 'a list of strings')
        return item
      }),
  }
}
