// SPDX-License-Identifier: Apache-2.0
import type { Clock } from '#lib/clock.ts'

/** Who goes first when an API's budget is short: a pod that waits, then the warm pool, then giving back. */
export type Priority = 'pod' | 'warm' | 'reclaim'
const order: readonly Priority[] = ['pod', 'warm', 'reclaim']

/** Calls per minute and API, equal to Terway's defaults; burst = the same number. `rate_limit` / `rateLimit` overrides single entries. */
export const defaultLimits: Readonly<Record<string, number>> = {
  DescribeNetworkInterfaces: 800,
  DescribeNetworkInterfaceAttribute: 2000,
  DetachNetworkInterface: 400,
  AssignPrivateIpAddresses: 400,
  UnassignPrivateIpAddresses: 400,
  AssignIpv6Addresses: 400,
  UnassignIpv6Addresses: 400,
  DescribeInstanceTypes: 400,
  DescribeVSwitches: 300,
}
/** For every API that has no entry of its own. */
export const fallbackLimit = 500

export interface Waiter {
  readonly api: string
  readonly priority: Priority
  /** The node or task that asked. */
  readonly who: string
  /** Milliseconds waited so far, and expected from now on. */
  readonly waited: number
  readonly expected: number
}

/** One token bucket per API, with a queue in priority order; slows down when the cloud throttles, and recovers. */
export interface Throttle {
  /** Resolves when the call may be made. */
  acquire(api: string, priority: Priority, who: string): Promise<void>
  /** The cloud answered with a throttling code: halves the API's rate (at most once a second, down to a tenth). */
  throttled(api: string): void
  /** Milliseconds that a call of this priority would wait now. */
  expectedWait(api: string, priority: Priority): number
  /** Everybody who waits, first to be served first: the answer to "why does it wait". */
  waiting(): readonly Waiter[]
}

/** The rate comes back by this share of the full rate per second without a throttling answer. */
const recovery = 0.02
const slowest = 0.1

interface Entry {
  readonly priority: Priority
  readonly who: string
  readonly since: number
  readonly grant: () => void
}

class Bucket {
  readonly #perMs: number
  readonly #burst: number
  readonly #clock: Clock
  readonly #queues: Readonly<Record<Priority, Entry[]>> = { pod: [], warm: [], reclaim: [] }
  #tokens: number
  #factor = 1
  #at: number
  #punishedAt = Number.NEGATIVE_INFINITY
  #timer: (() => void) | undefined

  constructor(perMinute: number, clock: Clock) {
    this.#perMs = perMinute / 60_000
    this.#burst = perMinute
    this.#clock = clock
    this.#tokens = perMinute
    this.#at = clock.now()
  }

  acquire(priority: Priority, who: string): Promise<void> {
    return new Promise(resolve => {
      this.#queues[priority].push({ priority, who, since: this.#clock.now(), grant: resolve })
      this.#serve()
    })
  }

  throttled(): void {
    this.#refill()
    const now = this.#clock.now()
    this.#tokens = Math.min(this.#tokens, 0)
    if (now - this.#punishedAt < 1000) return
    this.#punishedAt = now
    this.#factor = Math.max(slowest, this.#factor / 2)
  }

  /** Milliseconds until a caller with `ahead` others in front of it is served. */
  expectedWait(ahead: number): number {
    this.#refill()
    return Math.max(0, (ahead + 1 - this.#tokens) / (this.#perMs * this.#factor))
  }

  ahead(priority: Priority): number {
    return order.slice(0, order.indexOf(priority) + 1).reduce((n, p) => n + this.#queues[p].length, 0)
  }

  entries(): readonly Entry[] {
    return order.flatMap(p => this.#queues[p])
  }

  #refill(): void {
    const now = this.#clock.now()
    const elapsed = now - this.#at
    this.#at = now
    this.#factor = Math.min(1, this.#factor + (recovery * elapsed) / 1000)
    this.#tokens = Math.min(this.#burst, this.#tokens + elapsed * this.#perMs * this.#factor)
  }

  #serve(): void {
    this.#refill()
    for (const p of order) {
      const queue = this.#queues[p]
      while (queue.length > 0 && this.#tokens >= 1) {
        this.#tokens -= 1
        queue.shift()?.grant()
      }
    }
    if (this.entries().length === 0 || this.#timer !== undefined) return
    this.#timer = this.#clock.after(Math.max(1, Math.ceil(this.expectedWait(0))), () => {
      this.#timer = undefined
      this.#serve()
    })
  }
}

/** `overrides`: calls per minute by API; a value below 1 counts as 1. */
export function makeThrottle(clock: Clock, overrides: Readonly<Record<string, number>> = {}): Throttle {
  const buckets = new Map<string, Bucket>()
  const bucket = (api: string) => {
    let found = buckets.get(api)
    if (found === undefined) {
      found = new Bucket(Math.max(1, overrides[api] ?? defaultLimits[api] ?? fallbackLimit), clock)
      buckets.set(api, found)
    }
    return found
  }
  return {
    acquire: (api, priority, who) => bucket(api).acquire(priority, who),
    throttled: api => bucket(api).throttled(),
    expectedWait: (api, priority) => bucket(api).expectedWait(bucket(api).ahead(priority)),
    waiting: () =>
      [...buckets].flatMap(([api, b]) =>
        b.entries().map((e, i) => ({ api, priority: e.priority, who: e.who, waited: clock.now() - e.since, expected: b.expectedWait(i) })),
      ),
  }
}
