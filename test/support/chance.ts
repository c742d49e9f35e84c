// SPDX-License-Identifier: Apache-2.0

/** Chance, out of small sets, so that packets meet the entries of others. */
export class Chance {
  readonly #next: () => number

  constructor(next: () => number) {
    this.#next = next
  }

  of<T>(...all: readonly [T, ...T[]]): T {
    return all[Math.floor(this.#next() * all.length)] ?? all[0]
  }

  below(n: number): number {
    return Math.floor(this.#next() * n)
  }

  /** One time in n. */
  rarely(n: number): boolean {
    return this.#next() * n < 1
  }
}
