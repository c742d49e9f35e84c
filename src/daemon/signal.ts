// SPDX-License-Identifier: Apache-2.0
import type { Clock } from '#lib/clock.ts'

/** "Something changed": listeners are called in order, and waiters look again. */
export class Signal {
  readonly #listeners = new Set<() => void>()

  fire(): void {
    for (const listener of [...this.#listeners]) listener()
  }

  /** Returns the unsubscriber. */
  on(listener: () => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  /** Resolves at the next change, after `ms`, or when aborted, whichever is first; never rejects. */
  next(clock: Clock, ms: number, abort?: AbortSignal): Promise<void> {
    return new Promise(resolve => {
      const done = () => {
        off()
        cancel()
        abort?.removeEventListener('abort', done)
        resolve()
      }
      const off = this.on(done)
      const cancel = clock.after(ms, done)
      abort?.addEventListener('abort', done, { once: true })
      if (abort?.aborted) done()
    })
  }
}
