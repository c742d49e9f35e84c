// SPDX-License-Identifier: Apache-2.0
import type { Pool } from '#ipam/pool.ts'

/** As long as the daemon lets an address cool. Milliseconds. */
export const rest = 30_000

/**
 * How long the ENIs of a node whose pods have one each have been idle. There is no pool that would keep one for the pod that takes the
 * place of another: without a rest an ENI would be deleted, and made again, whenever a pod is replaced while the pool is adjusted.
 */
export class Resting {
  readonly #since = new Map<string, number>()

  /** Once a round: the pool with what rests. */
  follow(pool: Pool, now: number): Pool {
    if (pool.mode === 'shared') return pool
    const idle = new Set(pool.enis.filter(e => e.status === 'InUse' && e.addresses.every(a => a.state === 'idle')).map(e => e.id))
    for (const id of this.#since.keys()) if (!idle.has(id)) this.#since.delete(id)
    for (const id of idle) if (!this.#since.has(id)) this.#since.set(id, now)
    return { ...pool, enis: pool.enis.map(e => ({ ...e, resting: now - (this.#since.get(e.id) ?? Number.NEGATIVE_INFINITY) < rest })) }
  }
}
