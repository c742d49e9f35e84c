// SPDX-License-Identifier: Apache-2.0

/** Time and randomness, injected so that the simulator can own both. */
export interface Clock {
  /** Milliseconds since the epoch; may jump (wall clock). Only for timestamps that others read. */
  wall(): number
  /** Milliseconds from an arbitrary start; never goes back. For every duration and deadline. */
  now(): number
  /** Resolves after `ms`; rejects with the signal's reason when aborted. */
  sleep(ms: number, signal?: AbortSignal): Promise<void>
  /** Calls `fn` once after `ms`, 0 = as soon as what goes on now has been done; the returned function cancels it. */
  after(ms: number, fn: () => void): () => void
  /** Uniform in [0, 1). */
  random(): number
  /** A random UUID (version 4), for client tokens and nonces. */
  uuid(): string
}

/** Sleeps, and is over at once when aborted: for loops that look at their signal themselves. */
export async function sleepUnlessAborted(clock: Pick<Clock, 'sleep'>, ms: number, signal: AbortSignal): Promise<void> {
  try {
    await clock.sleep(ms, signal)
  } catch (e) {
    if (!signal.aborted) throw e
  }
}

export const realClock: Clock = {
  wall: () => Date.now(),
  now: () => performance.now(),
  sleep: (ms, signal) =>
    new Promise((resolve, reject) => {
      if (signal?.aborted) return reject(signal.reason)
      const stop = () => {
        clearTimeout(timer)
        reject(signal?.reason)
      }
      const timer = setTimeout(() => {
        signal?.removeEventListener('abort', stop)
        resolve()
      }, ms)
      signal?.addEventListener('abort', stop, { once: true })
    }),
  after: (ms, fn) => {
    if (ms <= 0) {
      // A timer takes a millisecond at least, and comes after whatever has arrived meanwhile.
      const immediate = setImmediate(fn)
      return () => clearImmediate(immediate)
    }
    const timer = setTimeout(fn, ms)
    return () => clearTimeout(timer)
  },
  random: () => Math.random(),
  uuid: () => crypto.randomUUID(),
}
