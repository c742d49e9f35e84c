// SPDX-License-Identifier: Apache-2.0
import { setImmediate } from 'node:timers/promises'
import type { Clock } from '#lib/clock.ts'
import { generator } from '../support/generator.ts'

/** Timers in a row without time passing: somebody spins. */
const stuckAfter = 20_000

interface Timer {
  readonly at: number
  /** Random among timers of one instant: the order of things that happen at once is the seed's choice. */
  readonly tie: number
  readonly order: number
  readonly fn: () => void
  cancelled: boolean
}

/** Virtual time and randomness of one run. Timers run one by one; between two of them every promise settles. */
export class World implements Clock {
  readonly random: () => number
  readonly #ties: () => number
  readonly #heap: Timer[] = []
  #time = 0
  #order = 0
  steps = 0

  constructor(seed: number) {
    this.random = generator(seed)
    this.#ties = generator(seed ^ 0x5bd1e995)
  }

  wall(): number {
    return Date.UTC(2026, 0, 1) + this.#time
  }

  now(): number {
    return this.#time
  }

  after(ms: number, fn: () => void): () => void {
    const timer: Timer = { at: this.#time + Math.max(0, ms), tie: this.#ties(), order: this.#order++, fn, cancelled: false }
    push(this.#heap, timer)
    return () => {
      timer.cancelled = true
    }
  }

  sleep(ms: number, signal?: AbortSignal): Promise<void> {
    return sleepOn(this, ms, signal)
  }

  uuid(): string {
    const hex = Array.from({ length: 4 }, () =>
      Math.floor(this.random() * 2 ** 32)
        .toString(16)
        .padStart(8, '0'),
    ).join('')
    return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-4${hex.slice(13, 16)}-8${hex.slice(17, 20)}-${hex.slice(20)}`
  }

  /** Runs everything that is due within `ms`; `check` is called after each timer and may throw. */
  async run(ms: number, check: () => void): Promise<void> {
    const end = this.#time + ms
    let here = 0
    await setImmediate()
    for (;;) {
      const next = this.#heap[0]
      if (next === undefined || next.at > end) break
      pop(this.#heap)
      if (next.cancelled) continue
      here = next.at > this.#time + 1 ? 0 : here + 1
      if (here > stuckAfter) throw new Error(`stuck: ${stuckAfter} timers fired within a millisecond at ${this.#time} ms`)
      this.#time = next.at
      this.steps++
      next.fn()
      await setImmediate()
      check()
    }
    this.#time = end
  }

  int(limit: number): number {
    return Math.floor(this.random() * limit)
  }

  chance(p: number): boolean {
    return this.random() < p
  }

  pick<T>(items: readonly T[]): T | undefined {
    return items[this.int(items.length)]
  }
}

export function sleepOn(clock: Pick<Clock, 'after'>, ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) return reject(signal.reason)
    const stop = () => {
      cancel()
      reject(signal?.reason)
    }
    const cancel = clock.after(ms, () => {
      signal?.removeEventListener('abort', stop)
      resolve()
    })
    signal?.addEventListener('abort', stop, { once: true })
  })
}

function before(a: Timer, b: Timer): boolean {
  return a.at !== b.at ? a.at < b.at : a.tie !== b.tie ? a.tie < b.tie : a.order < b.order
}

function push(heap: Timer[], timer: Timer): void {
  let i = heap.push(timer) - 1
  while (i > 0) {
    const up = (i - 1) >> 1
    const parent = heap[up]
    if (parent === undefined || !before(timer, parent)) break
    heap[i] = parent
    i = up
  }
  heap[i] = timer
}

function pop(heap: Timer[]): void {
  const last = heap.pop()
  if (last === undefined || heap.length === 0) return
  let i = 0
  for (;;) {
    const left = 2 * i + 1
    const a = heap[left]
    if (a === undefined) break
    const b = heap[left + 1]
    const [child, at] = b !== undefined && before(b, a) ? [b, left + 1] : [a, left]
    if (!before(child, last)) break
    heap[i] = child
    i = at
  }
  heap[i] = last
}
