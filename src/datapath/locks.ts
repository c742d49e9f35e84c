// SPDX-License-Identifier: Apache-2.0

/** The queue of what concerns every name. */
const everything = ''

/** One queue per name: work on the same name runs one after the other, in the order of the calls. */
export class Locks {
  readonly #tails = new Map<string, Promise<void>>()

  /** Runs `fn` when all earlier work on any of the names has ended. All names are queued for at once, so no two calls can wait for each other. */
  hold<T>(names: readonly string[], fn: () => Promise<T>): Promise<T> {
    return this.#after([...names, everything], names, fn)
  }

  /** The same for every name: earlier work on any ends first, and later work waits. */
  holdAll<T>(fn: () => Promise<T>): Promise<T> {
    return this.#after([...this.#tails.keys()], [everything], fn)
  }

  async #after<T>(awaited: readonly string[], names: readonly string[], fn: () => Promise<T>): Promise<T> {
    const earlier = awaited.flatMap(name => this.#tails.get(name) ?? [])
    const { promise, resolve } = Promise.withResolvers<void>()
    for (const name of names) this.#tails.set(name, promise)
    try {
      await Promise.all(earlier)
      return await fn()
    } finally {
      for (const name of names) if (this.#tails.get(name) === promise) this.#tails.delete(name)
      resolve()
    }
  }
}
