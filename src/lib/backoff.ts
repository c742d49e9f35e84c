// SPDX-License-Identifier: Apache-2.0
import type { Clock } from '#lib/clock.ts'

/** Terway's backoff record (terway `backoff_override`): durations in milliseconds, `jitter` as a fraction added on top. */
export interface Backoff {
  readonly initialDelay: number
  readonly duration: number
  readonly factor: number
  readonly jitter: number
  readonly steps: number
  readonly cap?: number
}

/** The wait before each of the `steps` tries, jitter included. */
export function* delays(b: Backoff, random: () => number): Generator<number> {
  let step = b.duration
  for (let i = 0; i < b.steps; i++) {
    if (i === 0) yield b.initialDelay
    else {
      yield Math.min(step, b.cap ?? Number.POSITIVE_INFINITY) * (1 + b.jitter * random())
      step *= b.factor
    }
  }
}

/** Runs `fn` until it returns something other than undefined, at most `steps` times; undefined when the steps are used up. */
export async function poll<T>(clock: Clock, b: Backoff, fn: () => Promise<T | undefined>, signal?: AbortSignal): Promise<T | undefined> {
  for (const ms of delays(b, () => clock.random())) {
    if (ms > 0) await clock.sleep(ms, signal)
    const got = await fn()
    if (got !== undefined) return got
  }
  return undefined
}
