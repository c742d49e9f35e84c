// SPDX-License-Identifier: Apache-2.0

/** Requests older or newer than this are refused (common errors: InvalidTimeStamp.Expired). */
export const toleranceMs = 15 * 60_000

/** Nonces seen while a request with them could still be accepted: twice the tolerance of the time stamp. */
export class Nonces {
  readonly #seen = new Map<string, number>()

  /** Uses a nonce up; false when it was used before. */
  take(nonce: string, now: number): boolean {
    for (const [old, until] of this.#seen) {
      if (until > now) break
      this.#seen.delete(old)
    }
    if (this.#seen.has(nonce)) return false
    this.#seen.set(nonce, now + 2 * toleranceMs)
    return true
  }
}
