// SPDX-License-Identifier: Apache-2.0
import { parseBlock } from './address.ts'
import { AddressBook } from './book.ts'
import { History } from './history.ts'
import type { Balancer, Eni, Kind, Rows } from './rows.ts'
import type { Settings } from './settings.ts'

/** One row written or dropped: what the journal keeps, one list per operation. */
export type Change = { readonly [K in Kind]: { readonly kind: K; readonly id: string; readonly row: Rows[K] | null } }[Kind]

interface Entry {
  readonly change: Change
  readonly previous: Rows[Kind] | undefined
}

type Tables = { readonly [K in Kind]: Map<string, Rows[K]> }

const kinds = [
  'vpc',
  'vSwitch',
  'securityGroup',
  'instance',
  'eni',
  'balancer',
  'token',
  'account',
  'role',
  'counter',
] as const satisfies readonly Kind[]

function emptyTables(): Tables {
  return {
    vpc: new Map(),
    vSwitch: new Map(),
    securityGroup: new Map(),
    instance: new Map(),
    eni: new Map(),
    balancer: new Map(),
    token: new Map(),
    account: new Map(),
    role: new Map(),
    counter: new Map(),
  }
}

/**
 * The whole cloud as tables of immutable rows, changed only inside `run`: an operation that throws leaves nothing behind.
 * Everything else (who holds which address, which transitions run, what Describe saw a moment ago) is derived from the rows.
 */
export class State {
  readonly settings: Settings
  readonly #tables = emptyTables()
  readonly #books = new Map<string, { readonly v4: AddressBook; readonly v6?: AddressBook }>()
  readonly #due = new Map<string, number>()
  readonly history: History
  #now = 0
  /** What the operation under way has written. */
  #changes: Entry[] | undefined

  constructor(settings: Settings) {
    this.settings = settings
    this.history = new History(Math.max(settings.timing.describeLag, settings.timing.metadataLag))
  }

  /** Virtual time: the time of the operation under way, else of the last one. */
  get now(): number {
    return this.#now
  }

  get<K extends Kind>(kind: K, id: string): Rows[K] | undefined {
    return this.#tables[kind].get(id)
  }

  list<K extends Kind>(kind: K): Rows[K][] {
    return [...this.#tables[kind].values()]
  }

  /** The row written first of those that are there. */
  oldest<K extends Kind>(kind: K): Rows[K] | undefined {
    return this.#tables[kind].values().next().value
  }

  /** Every row, as changes that rebuild this state. */
  dump(): Change[] {
    return kinds.flatMap(kind => this.list(kind).map((row): Change => ({ kind, id: row.id, row }) as Change))
  }

  book(vSwitchId: string): { readonly v4: AddressBook; readonly v6?: AddressBook } {
    const book = this.#books.get(vSwitchId)
    if (book === undefined) throw new Error(`vSwitch ${vSwitchId} does not exist`)
    return book
  }

  /** The ENI whose transition ends first; undefined when none runs. */
  nextDue(): { readonly eniId: string; readonly at: number } | undefined {
    let first: { eniId: string; at: number } | undefined
    for (const [eniId, at] of this.#due) if (first === undefined || at < first.at) first = { eniId, at }
    return first
  }

  /** What the operation under way has written so far. */
  get written(): readonly Change[] {
    return this.#changes?.map(entry => entry.change) ?? []
  }

  put<K extends Kind>(kind: K, row: Rows[K]): void {
    this.#write({ kind, id: row.id, row } as Change)
  }

  drop(kind: Kind, id: string): void {
    this.#write({ kind, id, row: null })
  }

  /** Runs one operation at a time: all its changes, which are returned, or none when it throws. */
  run<T>(now: number, operation: () => T): { readonly result: T; readonly changes: readonly Change[] } {
    if (this.#changes !== undefined) throw new Error('operations do not nest')
    this.#now = Math.max(this.#now, now)
    const log: Entry[] = []
    this.#changes = log
    try {
      const result = operation()
      for (const { change, previous } of log) this.history.record(this.#now, change.kind, change.id, previous)
      return { result, changes: log.map(entry => entry.change) }
    } catch (error) {
      for (const { change, previous } of log.reverse()) this.#apply({ kind: change.kind, id: change.id, row: previous ?? null } as Change)
      throw error
    } finally {
      this.#changes = undefined
    }
  }

  /** Takes rows of a journal as they are. */
  restore(changes: readonly Change[], at: number): void {
    this.#now = Math.max(this.#now, at)
    for (const change of changes) this.#apply(change)
  }

  #write(change: Change): void {
    if (this.#changes === undefined) throw new Error('the state changes only inside run()')
    this.#changes.push({ change, previous: this.get(change.kind, change.id) })
    this.#apply(change)
  }

  #apply(change: Change): void {
    const table: Map<string, Rows[Kind]> = this.#tables[change.kind]
    if (change.kind === 'eni') this.#index(this.get('eni', change.id), change.row ?? undefined)
    if (change.kind === 'balancer') this.#indexBalancer(this.get('balancer', change.id), change.row ?? undefined)
    if (change.row === null) table.delete(change.id)
    else table.set(change.id, change.row)
    if (change.kind === 'vSwitch' && change.row !== null && !this.#books.has(change.id)) {
      const v4 = parseBlock(change.row.cidr4)
      const v6 = change.row.cidr6 === undefined ? undefined : parseBlock(change.row.cidr6)
      if (v4 === undefined) throw new Error(`vSwitch ${change.id}: bad CIDR ${change.row.cidr4}`)
      this.#books.set(change.id, { v4: new AddressBook(v4), ...(v6 && { v6: new AddressBook(v6) }) })
    }
  }

  #index(before: Eni | undefined, after: Eni | undefined): void {
    if (before !== undefined) {
      const book = this.book(before.vSwitchId)
      for (const ip of before.ipv4) book.v4.release(ip)
      for (const ip of before.ipv6) book.v6?.release(ip)
      this.#due.delete(before.id)
    }
    if (after === undefined) return
    const book = this.book(after.vSwitchId)
    for (const ip of after.ipv4) book.v4.take(ip, after.id)
    for (const ip of after.ipv6) book.v6?.take(ip, after.id)
    if (typeof after.due === 'number') this.#due.set(after.id, after.due)
  }

  #indexBalancer(before: Balancer | undefined, after: Balancer | undefined): void {
    for (const ip of before?.private4 ?? []) this.book(before?.vSwitchId ?? '').v4.release(ip)
    for (const ip of before?.ipv6 ?? []) this.book(before?.vSwitchId ?? '').v6?.release(ip)
    for (const ip of after?.private4 ?? []) this.book(after?.vSwitchId ?? '').v4.take(ip, after?.id ?? '')
    for (const ip of after?.ipv6 ?? []) this.book(after?.vSwitchId ?? '').v6?.take(ip, after?.id ?? '')
  }
}
