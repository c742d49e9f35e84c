// SPDX-License-Identifier: Apache-2.0
import type { SimClock } from './clock.ts'

/** Time that passes only when told: for tests and for simulations of whole clusters. */
export class VirtualClock implements SimClock {
  #now: number
  #next = 0
  readonly #timers = new Map<number, { readonly at: number; readonly fn: () => void }>()

  constructor(start = Date.UTC(2026, 0, 1)) {
    this.#now = start
  }

  wall(): number {
    return this.#now
  }

  after(ms: number, fn: () => void): () => void {
    const id = this.#next++
    this.#timers.set(id, { at: this.#now + Math.max(0, ms), fn })
    return () => this.#timers.delete(id)
  }

  /** Lets `ms` pass: timers fire at their own time, in order, those included that are set on the way. */
  pass(ms: number): void {
    const end = this.#now + ms
    for (let due = this.#first(); due !== undefined && due.at <= end; due = this.#first()) {
      this.#timers.delete(due.id)
      this.#now = Math.max(this.#now, due.at)
      due.fn()
    }
    this.#now = end
  }

  #first(): { readonly id: number; readonly at: number; readonly fn: () => void } | undefined {
    let first: { id: number; at: number; fn: () => void } | undefined
    for (const [id, timer] of this.#timers) if (first === undefined || timer.at < first.at) first = { id, ...timer }
    return first
  }
}
