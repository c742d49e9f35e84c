// SPDX-License-Identifier: Apache-2.0
import type { Kind, Rows } from './rows.ts'
import type { State } from './state.ts'

interface Past {
  readonly at: number
  readonly row: Rows[Kind] | undefined
}

/** What rows said before their last changes, as far back as the longest lag: the source of eventual consistency. */
export class History {
  readonly #depth: number
  readonly #past = new Map<Kind, Map<string, Past[]>>()
  readonly #order: { readonly at: number; readonly kind: Kind; readonly id: string }[] = []

  /** `depth` in milliseconds: how far back `asOf` may be asked. 0 keeps nothing. */
  constructor(depth: number) {
    this.#depth = depth
  }

  /** Notes that the row said `previous` until `at`. */
  record(at: number, kind: Kind, id: string, previous: Rows[Kind] | undefined): void {
    if (this.#depth === 0) return
    const rows = this.#past.get(kind) ?? new Map<string, Past[]>()
    this.#past.set(kind, rows)
    rows.set(id, [...(rows.get(id) ?? []), { at, row: previous }])
    this.#order.push({ at, kind, id })
    this.#forget(at - this.#depth)
  }

  /** Everybody sees the present. */
  clear(): void {
    this.#past.clear()
    this.#order.length = 0
  }

  /** The row as it was at `time`. */
  get<K extends Kind>(state: State, kind: K, id: string, time: number): Rows[K] | undefined {
    const changed = this.#past
      .get(kind)
      ?.get(id)
      ?.find(past => past.at > time)
    return changed === undefined ? state.get(kind, id) : (changed.row as Rows[K] | undefined)
  }

  /** All rows of a kind as they were at `time`, in no order. */
  list<K extends Kind>(state: State, kind: K, time: number): Rows[K][] {
    const past = this.#past.get(kind)
    if (past === undefined || past.size === 0) return state.list(kind)
    const ids = new Set([...state.list(kind).map(row => row.id), ...past.keys()])
    return [...ids].flatMap(id => this.get(state, kind, id, time) ?? [])
  }

  #forget(before: number): void {
    while (this.#order.length > 0 && (this.#order[0]?.at ?? 0) <= before) {
      const oldest = this.#order.shift()
      if (oldest === undefined) return
      const rows = this.#past.get(oldest.kind)
      const rest = rows?.get(oldest.id)?.filter(past => past.at > before) ?? []
      if (rest.length === 0) rows?.delete(oldest.id)
      else rows?.set(oldest.id, rest)
    }
  }
}
