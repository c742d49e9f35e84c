// SPDX-License-Identifier: Apache-2.0
import { AppError, messageOf } from '#lib/errors.ts'
import { type Cidr, parseCidr } from '#net/cidr.ts'

type Json = Readonly<Record<string, unknown>>

/**
 * Reads the members of one JSON object by name and type, collecting what is wrong instead of stopping at the first: whoever
 * writes a configuration should see all errors at once. null counts as absent, as in Go.
 */
export class Fields {
  readonly #name: string
  readonly #json: Json
  readonly #at: string
  readonly #read = new Set<string>()
  readonly #problems: string[] = []

  /** `name` is the file; `at` begins each path when the object lies within another: `plugins[0].`. */
  constructor(name: string, json: unknown, at = '') {
    this.#name = name
    this.#at = at
    this.#json = isJson(json) ? json : {}
    if (!isJson(json)) this.#problems.push(`${name} is not a JSON object`)
  }

  has(key: string): boolean {
    return this.seen(key) !== undefined
  }

  /** The raw value; marks the key as known. */
  seen(key: string): unknown {
    this.#read.add(key)
    return this.#json[key] ?? undefined
  }

  text(key: string, fallback: string): string {
    const value = this.seen(key)
    return value === undefined ? fallback : this.textOf(key, value)
  }

  textOf(path: string, value: unknown): string {
    if (typeof value === 'string') return value
    this.wrong(path, `is ${show(value)}, must be text`)
    return ''
  }

  flag(key: string, fallback: boolean): boolean {
    const value = this.seen(key)
    if (value === undefined || typeof value === 'boolean') return value ?? fallback
    this.wrong(key, `is ${show(value)}, must be true or false`)
    return fallback
  }

  /** A whole number from 0. */
  count(key: string, fallback: number): number {
    const value = this.seen(key)
    if (value === undefined) return fallback
    if (typeof value === 'number' && Number.isSafeInteger(value) && value >= 0) return value
    this.wrong(key, `is ${show(value)}, must be a whole number from 0`)
    return fallback
  }

  /** A whole number within the bounds; undefined when absent or wrong. */
  between(key: string, least: number, most: number): number | undefined {
    const value = this.seen(key)
    if (value === undefined) return undefined
    if (typeof value === 'number' && Number.isInteger(value) && value >= least && value <= most) return value
    this.wrong(key, `is ${show(value)}, must be a whole number between ${least} and ${most}`)
    return undefined
  }

  number(key: string, fallback: number): number {
    const value = this.seen(key)
    if (value === undefined || typeof value === 'number') return value ?? fallback
    this.wrong(key, `is ${show(value)}, must be a number`)
    return fallback
  }

  /** Only the values that are built; letters in either case, as Terway reads them. */
  oneOf(key: string, values: readonly (string | boolean)[]): void {
    const value = this.seen(key)
    const found = typeof value === 'string' ? value.toLowerCase() : value
    if (value === undefined || values.some(v => v === found)) return
    this.wrong(key, `is ${show(value)}; supported: ${values.map(v => JSON.stringify(v)).join(', ')}`)
  }

  texts(key: string): readonly string[] {
    return this.#list(key, this.seen(key)).map((item, i) => this.textOf(`${key}[${i}]`, item))
  }

  /** Names of things that must exist: none may be empty. */
  names(key: string): readonly string[] {
    return this.#namesOf(key, this.seen(key))
  }

  textMap(key: string): Readonly<Record<string, string>> {
    return Object.fromEntries(this.members(key).map(([name, value]) => [name, this.textOf(`${key}.${name}`, value)]))
  }

  nameLists(key: string): Readonly<Record<string, readonly string[]>> {
    return Object.fromEntries(this.members(key).map(([name, value]) => [name, this.#namesOf(`${key}.${name}`, value)]))
  }

  /** The members of an object, as they are. */
  members(key: string): readonly [string, unknown][] {
    const value = this.seen(key)
    if (value === undefined) return []
    if (isJson(value)) return Object.entries(value)
    this.wrong(key, `is ${show(value)}, must be an object`)
    return []
  }

  objects(key: string): readonly Json[] {
    return this.#list(key, this.seen(key)).flatMap((item, i) => {
      if (isJson(item)) return [item]
      this.wrong(`${key}[${i}]`, `is ${show(item)}, must be an object`)
      return []
    })
  }

  /** Empty when it is wrong. */
  cidr(path: string, value: unknown): readonly Cidr[] {
    try {
      return [parseCidr(this.textOf(path, value))]
    } catch (e) {
      this.wrong(path, messageOf(e))
      return []
    }
  }

  wrong(path: string, what: string): void {
    this.#problems.push(`${this.#at}${path} ${what}`)
  }

  /** Keys that nobody asked for. */
  unread(): readonly string[] {
    return Object.keys(this.#json)
      .filter(key => !this.#read.has(key))
      .map(key => `${this.#at}${key}`)
  }

  /** Throws `bad-config` with every problem. */
  throwIfWrong(): void {
    if (this.#problems.length > 0) throw new AppError('bad-config', `${this.#name}: ${this.#problems.join('; ')}`)
  }

  #list(path: string, value: unknown): readonly unknown[] {
    if (value === undefined || value === null) return []
    if (Array.isArray(value)) return value
    this.wrong(path, `is ${show(value)}, must be a list`)
    return []
  }

  #namesOf(path: string, value: unknown): readonly string[] {
    return this.#list(path, value).map((item, i) => {
      const name = this.textOf(`${path}[${i}]`, item)
      if (item === '') this.wrong(`${path}[${i}]`, 'is empty')
      return name
    })
  }
}

function show(value: unknown): string {
  const text = JSON.stringify(value) ?? String(value)
  return text.length > 60 ? `${text.slice(0, 57)}…` : text
}

function isJson(v: unknown): v is Json {
  return typeof v === 'object' && v !== null && !Array.isArray(v)
}
