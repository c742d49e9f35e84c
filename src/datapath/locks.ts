// SPDX-License-Identifier: Apache-2.0

/** One queue per name: work on the same name runs one after the other, in the order of the calls. */
export class Locks {
  readonly #tails = new Map<string, Promise<void>>()

  /** Runs `fn` when all earlier work on any of the names has ended. All names are queued for at once, so no two calls can wait for each other. */
  async hold<T>(names: readonly string[], fn: () => Promise<T>): Promise<T> {
    const earlier = names.flatMap(name => this.#tails.get(name) ?? [])
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
