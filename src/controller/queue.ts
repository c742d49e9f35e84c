// SPDX-License-Identifier: Apache-2.0
import type { Clock } from '#lib/clock.ts'

/** What a round of work on one key asks for: nothing, or another round in `again` milliseconds. */
export interface Round {
  readonly again?: number
}

export interface QueueOptions {
  readonly concurrency: number
  readonly minFailureDelay: number
  readonly maxFailureDelay: number
  readonly failed: (key: string, error: unknown, delay: number) => void
}

export interface Queue {
  /** Runs a round for the key soon; wakes during a round cause one more after it. */
  wake(key: string): void
  /** At the latest in `ms`. */
  wakeIn(key: string, ms: number): void
  stop(): void
}

interface KeyState {
  running: boolean
  queued: boolean
  failures: number
  cancel: (() => void) | undefined
  due: number
}

/**
 * One round per key at a time, `concurrency` keys at once, first come first served. A failed round is repeated after 1 s, 2 s, 4 s …
 * up to the maximum; wakes from outside do not wait for that, they run at once.
 */
export function makeQueue(clock: Clock, work: (key: string) => Promise<Round>, options: QueueOptions): Queue {
  const keys = new Map<string, KeyState>()
  const ready: string[] = []
  let active = 0
  let stopped = false

  const stateOf = (key: string): KeyState => {
    let state = keys.get(key)
    if (state === undefined) {
      state = { running: false, queued: false, failures: 0, cancel: undefined, due: Number.POSITIVE_INFINITY }
      keys.set(key, state)
    }
    return state
  }

  const cancelTimer = (state: KeyState) => {
    state.cancel?.()
    state.cancel = undefined
    state.due = Number.POSITIVE_INFINITY
  }

  const wake = (key: string) => {
    const state = stateOf(key)
    if (stopped || state.queued) return
    state.queued = true
    cancelTimer(state)
    if (!state.running) {
      ready.push(key)
      dispatch()
    }
  }

  const wakeIn = (key: string, ms: number) => {
    const state = stateOf(key)
    const due = clock.now() + ms
    if (stopped || state.queued || state.due <= due) return
    cancelTimer(state)
    state.due = due
    state.cancel = clock.after(ms, () => {
      state.cancel = undefined
      state.due = Number.POSITIVE_INFINITY
      wake(key)
    })
  }

  const run = async (key: string, state: KeyState) => {
    try {
      const round = await work(key)
      state.failures = 0
      if (round.again !== undefined) wakeIn(key, round.again)
    } catch (error) {
      const delay = Math.min(options.maxFailureDelay, options.minFailureDelay * 2 ** state.failures)
      state.failures += 1
      options.failed(key, error, delay)
      wakeIn(key, delay)
    }
  }

  const dispatch = () => {
    while (!stopped && active < options.concurrency) {
      const key = ready.shift()
      if (key === undefined) return
      const state = stateOf(key)
      state.queued = false
      state.running = true
      active += 1
      run(key, state).then(() => {
        active -= 1
        state.running = false
        if (state.queued) ready.push(key)
        else if (state.cancel === undefined) keys.delete(key)
        dispatch()
      })
    }
  }

  return {
    wake,
    wakeIn,
    stop: () => {
      stopped = true
      for (const state of keys.values()) cancelTimer(state)
    },
  }
}
