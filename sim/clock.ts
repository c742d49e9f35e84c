// SPDX-License-Identifier: Apache-2.0

/** The time of the simulated cloud, given from outside: a test owns it, or the machine's clock does. */
export interface SimClock {
  /** Milliseconds since the epoch. */
  wall(): number
  /** Calls `fn` once after `ms`; the returned function cancels it. */
  after(ms: number, fn: () => void): () => void
}

/** Timers that keep nobody alive: the servers decide how long the process runs. */
export const machineClock: SimClock = {
  wall: () => Date.now(),
  after: (ms, fn) => {
    // Longer timeouts would overflow setTimeout; whoever waits looks at the clock again when called early.
    const timer = setTimeout(fn, Math.min(ms, 2 ** 31 - 1)).unref()
    return () => clearTimeout(timer)
  },
}

export function sleep(clock: SimClock, ms: number): Promise<void> {
  return ms <= 0 ? Promise.resolve() : new Promise(resolve => clock.after(ms, resolve))
}
