// SPDX-License-Identifier: Apache-2.0
import { fault } from './errors.ts'
import type { Throttle } from './settings.ts'

interface Bucket {
  tokens: number
  at: number
}

/**
 * Token buckets: one per action and user (Throttling.User), one per action for everybody (Throttling.Api). A bucket holds one
 * minute's calls. A refused call takes nothing. Not part of the state: a restart fills every bucket.
 */
export class Throttler {
  readonly #limits: Throttle
  readonly #buckets = new Map<string, Bucket>()

  constructor(limits: Throttle) {
    this.#limits = limits
  }

  take(action: string, user: string, now: number): void {
    if (!this.#limits.enabled) return
    const perMinute = this.#limits.perMinute[action] ?? this.#limits.defaultPerMinute
    const mine = this.#fill(`${action}/${user}`, perMinute, now)
    const all = this.#fill(action, perMinute * this.#limits.apiFactor, now)
    if (mine.tokens < 1) throw fault('Throttling.User', 'Request was denied due to user flow control.')
    if (all.tokens < 1) throw fault('Throttling.Api', 'Request was denied due to api flow control.')
    mine.tokens--
    all.tokens--
  }

  #fill(name: string, perMinute: number, now: number): Bucket {
    const bucket = this.#buckets.get(name) ?? { tokens: perMinute, at: now }
    bucket.tokens = Math.min(perMinute, bucket.tokens + (Math.max(0, now - bucket.at) * perMinute) / 60_000)
    bucket.at = Math.max(bucket.at, now)
    this.#buckets.set(name, bucket)
    return bucket
  }
}
