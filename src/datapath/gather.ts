// SPDX-License-Identifier: Apache-2.0
import type { Clock } from '#lib/clock.ts'

/** Passes things on: the first after a quiet time at once, what follows within `interval` milliseconds together at its end. */
export class Gather<T> {
  readonly #clock: Clock
  readonly #interval: number
  readonly #deliver: (things: readonly T[]) => void
  #things = new Set<T>()
  #deliveredAt = Number.NEGATIVE_INFINITY
  #cancel: (() => void) | undefined

  constructor(clock: Clock, interval: number, deliver: (things: readonly T[]) => void) {
    this.#clock = clock
    this.#interval = interval
    this.#deliver = deliver
  }

  /** Also without things there is something to deliver. */
  add(things: readonly T[]): void {
    for (const thing of things) this.#things.add(thing)
    if (this.#cancel !== undefined) return
    const rest = this.#deliveredAt + this.#interval - this.#clock.now()
    if (rest <= 0) this.#now()
    else this.#cancel = this.#clock.after(rest, () => this.#now())
  }

  stop(): void {
    this.#cancel?.()
  }

  #now(): void {
    const things = [...this.#things]
    this.#things = new Set()
    this.#cancel = undefined
    this.#deliveredAt = this.#clock.now()
    this.#deliver(things)
  }
}
