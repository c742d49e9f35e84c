// SPDX-License-Identifier: Apache-2.0
import { type Clock, realClock } from '#lib/clock.ts'

/** Real time, but for the minute in which programs learn what the host stack translates: that is over when the test says so. */
export class Lesson {
  readonly clock: Clock = { ...realClock, after: (ms, fn) => (ms === 60_000 ? this.#goesOn(fn) : realClock.after(ms, fn)) }
  readonly #ends = new Set<() => void>()

  end(): void {
    for (const end of this.#ends) end()
    this.#ends.clear()
  }

  #goesOn(end: () => void): () => void {
    this.#ends.add(end)
    return () => this.#ends.delete(end)
  }
}
