// SPDX-License-Identifier: Apache-2.0
import { setImmediate } from 'node:timers/promises'
import type { Clock } from '#lib/clock.ts'
import { generator } from './generator.ts'

interface Timer {
  readonly at: number
  readonly order: number
  readonly fn: () => void
}

/** Time that moves only when `advance` is called, and randomness from a seed: the same run, every time. */
export class VirtualClock implements Clock {
  private time = 0
  private order = 0
  readonly random: () => number
  private readonly timers = new Set<Timer>()
  private readonly epoch = Date.UTC(2026, 0, 1)
  private readonly settle: () => Promise<unknown>

  /** `settle` resolves when nothing happens any more without the passing of time; the default knows promises only, no sockets. */
  constructor(seed = 1, settle: () => Promise<unknown> = () => setImmediate()) {
    this.random = generator(seed)
    this.settle = settle
  }

  wall(): number {
    return this.epoch + this.time
  }

  now(): number {
    return this.time
  }

  sleep(ms: number, signal?: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      if (signal?.aborted) return reject(signal.reason)
      const stop = () => {
        cancel()
        reject(signal?.reason)
      }
      const cancel = this.after(ms, () => {
        signal?.removeEventListener('abort', stop)
        resolve()
      })
      signal?.addEventListener('abort', stop, { once: true })
    })
  }

  after(ms: number, fn: () => void): () => void {
    const timer = { at: this.time + Math.max(0, ms), order: this.order++, fn }
    this.timers.add(timer)
    return () => this.timers.delete(timer)
  }

  uuid(): string {
    const hex = Array.from({ length: 32 }, () => Math.floor(this.random() * 16).toString(16)).join('')
    return [hex.slice(0, 8), hex.slice(8, 12), `4${hex.slice(13, 16)}`, `8${hex.slice(17, 20)}`, hex.slice(20)].join('-')
  }

  /** Fires every timer up to `ms` from now, in order; after each one, promises settle and `check` is called. */
  async advance(ms: number, check: () => void = () => undefined): Promise<void> {
    const end = this.time + ms
    for (;;) {
      await this.settle()
      const next = this.earliest()
      if (next === undefined || next.at > end) break
      this.timers.delete(next)
      this.time = next.at
      next.fn()
      await this.settle()
      check()
    }
    this.time = end
  }

  private earliest(): Timer | undefined {
    let first: Timer | undefined
    for (const t of this.timers) if (first === undefined || t.at < first.at || (t.at === first.at && t.order < first.order)) first = t
    return first
  }
}
