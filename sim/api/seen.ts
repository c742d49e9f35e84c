// SPDX-License-Identifier: Apache-2.0
import type { Kind, Rows } from '../model/rows.ts'
import type { State } from '../model/state.ts'

/** The state as a lagging reader sees it: the rows of `lag` milliseconds ago. */
export class Seen {
  readonly #state: State
  readonly #lag: number

  constructor(state: State, lag: number) {
    this.#state = state
    this.#lag = lag
  }

  get<K extends Kind>(kind: K, id: string): Rows[K] | undefined {
    return this.#state.history.get(this.#state, kind, id, this.#state.now - this.#lag)
  }

  list<K extends Kind>(kind: K): Rows[K][] {
    return this.#state.history.list(this.#state, kind, this.#state.now - this.#lag)
  }

  /** In order of creation, which no page boundary changes. */
  inOrder<K extends 'eni' | 'instance'>(kind: K): Rows[K][] {
    return this.list(kind).sort((a, b) => a.seq - b.seq)
  }
}
