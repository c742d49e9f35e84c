// SPDX-License-Identifier: Apache-2.0
import type { SimClock } from './clock.ts'
import { genesis } from './genesis.ts'
import { Journal } from './journal.ts'
import { advance } from './model/advance.ts'
import type { Settings } from './model/settings.ts'
import { type Change, State } from './model/state.ts'
import type { Seed } from './seed-schema.ts'

/**
 * The state in time: lets transitions end when they are due, writes every operation to the journal, tells who listens.
 * Everything that changes the state goes through `run`.
 */
export class Store {
  readonly state: State
  readonly #clock: SimClock
  readonly #journal: Journal | undefined
  readonly #listeners = new Set<(changes: readonly Change[]) => void>()
  #cancel: (() => void) | undefined
  #running = true

  /** Takes up the state of `dir`, or makes it from the seed when there is none. */
  constructor(settings: Settings, seed: Seed, clock: SimClock, dir: string | undefined) {
    this.state = new State(settings)
    this.#clock = clock
    this.#journal = dir === undefined ? undefined : new Journal(dir, settings.seed)
    const entries = this.#journal?.load() ?? []
    for (const entry of entries) this.state.restore(entry.changes, entry.at)
    if (entries.length === 0) this.#keep(clock.wall(), genesis(this.state, seed, clock.wall()))
    this.state.history.clear()
    this.advance()
  }

  /** Runs one operation now, after everything that is due before it. */
  run<T>(operation: (state: State) => T): T {
    this.advance()
    const { result, changes } = this.state.run(this.#clock.wall(), () => operation(this.state))
    this.#keep(this.state.now, changes)
    this.#schedule()
    return result
  }

  /** Lets the transitions end that are due; called by a timer too, so that listeners hear of them in time. */
  advance(): void {
    for (const { at, changes } of advance(this.state, this.#clock.wall())) this.#keep(at, changes)
    this.#schedule()
  }

  onChange(listener: (changes: readonly Change[]) => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  /** Lets time pass again after `stop`. */
  start(): void {
    this.#running = true
    this.advance()
  }

  /** Stops the timer. What is in the journal is all there is to keep. */
  stop(): void {
    this.#running = false
    this.#cancel?.()
  }

  #keep(at: number, changes: readonly Change[]): void {
    if (changes.length === 0) return
    this.#journal?.append(at, changes)
    if (this.#journal?.long === true) this.#journal.compact(at, this.state.dump())
    for (const listener of this.#listeners) listener(changes)
  }

  #schedule(): void {
    this.#cancel?.()
    const next = this.state.nextDue()
    this.#cancel =
      next === undefined || !this.#running ? undefined : this.#clock.after(Math.max(0, next.at - this.#clock.wall()), () => this.advance())
  }
}
