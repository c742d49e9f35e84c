// SPDX-License-Identifier: Apache-2.0
import { invalid, missing } from '../model/errors.ts'
import type { Tags } from '../model/rows.ts'

/**
 * The parameters of one call, read by name. Lists come as `Name.1`, `Name.2`; lists of records as `Name.1.Field`.
 * Unknown parameters are ignored, as the real gateway does.
 */
export class Params {
  readonly #values: ReadonlyMap<string, string>

  constructor(values: Iterable<readonly [string, string]>) {
    this.#values = new Map(values)
  }

  /** The value; undefined when absent or empty. */
  text(name: string): string | undefined {
    const value = this.#values.get(name)
    return value === '' ? undefined : value
  }

  require(name: string): string {
    const value = this.text(name)
    if (value === undefined) throw missing(name)
    return value
  }

  /** A decimal integer between the bounds. */
  integer(name: string, min: number, max: number): number | undefined {
    const text = this.text(name)
    if (text === undefined) return undefined
    const value = /^-?\d{1,12}$/.test(text) ? Number(text) : Number.NaN
    if (!(value >= min && value <= max)) throw invalid(name, `${JSON.stringify(text)} is no integer from ${min} to ${max}`)
    return value
  }

  boolean(name: string): boolean | undefined {
    const text = this.text(name)?.toLowerCase()
    if (text === undefined || text === 'true') return text === undefined ? undefined : true
    if (text === 'false') return false
    throw invalid(name, `${JSON.stringify(text)} is neither true nor false`)
  }

  oneOf<T extends string>(name: string, allowed: readonly T[]): T | undefined {
    const text = this.text(name)
    const value = allowed.find(one => one === text)
    if (text !== undefined && value === undefined) throw invalid(name, `${JSON.stringify(text)} is none of ${allowed.join(', ')}`)
    return value
  }

  /** `Name.1`, `Name.2`, …: the values in the order of their numbers. */
  list(name: string, max = 100): string[] {
    const numbered = this.#numbered(name).flatMap(({ n, rest, value }) => (rest === '' && value !== '' ? [{ n, value }] : []))
    if (numbered.length > max) throw invalid(name, `at most ${max} values may be given`)
    return numbered.sort((a, b) => a.n - b.n).map(entry => entry.value)
  }

  /** `Tag.1.Key`, `Tag.1.Value`, …; a tag without value has the empty one. */
  tags(name = 'Tag', max = 20): Tags {
    const byNumber = new Map<number, { key?: string; value?: string }>()
    for (const { n, rest, value } of this.#numbered(name)) {
      const tag = byNumber.get(n) ?? {}
      if (/^\.(Key|key|TagKey)$/.test(rest)) tag.key = value
      else if (/^\.(Value|value|TagValue)$/.test(rest)) tag.value = value
      byNumber.set(n, tag)
    }
    if (byNumber.size > max) throw invalid(name, `at most ${max} tags may be given`)
    return Object.fromEntries(
      [...byNumber].map(([n, tag]) => {
        if (tag.key === undefined || tag.key === '') throw missing(`${name}.${n}.Key`)
        return [tag.key, tag.value ?? '']
      }),
    )
  }

  /** Everything but `except`, sorted by name: what makes two requests the same. */
  fingerprint(except: (name: string) => boolean): string {
    return JSON.stringify([...this.#values].filter(([name]) => !except(name)).sort(([a], [b]) => (a < b ? -1 : 1)))
  }

  #numbered(name: string): { readonly n: number; readonly rest: string; readonly value: string }[] {
    return [...this.#values].flatMap(([key, value]) => {
      const match = key.startsWith(`${name}.`) ? /^(\d+)(.*)$/.exec(key.slice(name.length + 1)) : null
      return match === null ? [] : [{ n: Number(match[1]), rest: match[2] ?? '', value }]
    })
  }
}
