// SPDX-License-Identifier: Apache-2.0
import type { Service } from '#kube/reflect/service.ts'
import { keyOf } from '#state/service-tables.ts'
import { compareAge } from './claims.ts'

/** How many sets may have a table of Maglev, whose slots are a fourth of what all sets share. */
export const mostHashedSets = 128

interface Wish {
  readonly service: Service
  readonly sets: number
}

/** Which Services have tables of Maglev: those that wish for it and find room, the oldest ones first. */
export class Hashing {
  readonly #wishes = new Map<string, Wish>()
  readonly #most: number
  #granted: ReadonlySet<string> = new Set()
  #changed = false

  constructor(most: number) {
    this.#most = most
  }

  /** Undefined, or of no set: it wishes for none. */
  wish(service: string, wish: Wish | undefined): void {
    const before = this.#wishes.get(service)
    if (wish === undefined || wish.sets === 0) this.#wishes.delete(service)
    else this.#wishes.set(service, wish)
    if (!isSame(before, this.#wishes.get(service))) this.#changed = true
  }

  /** Of which Services it has changed. */
  settle(): readonly string[] {
    if (!this.#changed) return []
    this.#changed = false
    const before = this.#granted
    const after = new Set<string>()
    let sets = 0
    for (const wish of [...this.#wishes.values()].sort((a, b) => compareAge(a.service, b.service))) {
      if (sets + wish.sets > this.#most) continue
      sets += wish.sets
      after.add(keyOf(wish.service.metadata))
    }
    this.#granted = after
    return [...[...after].filter(key => !before.has(key)), ...[...before].filter(key => !after.has(key))]
  }

  isGranted(service: string): boolean {
    return this.#granted.has(service)
  }

  isRefused(service: string): boolean {
    return this.#wishes.has(service) && !this.#granted.has(service)
  }
}

function isSame(a: Wish | undefined, b: Wish | undefined): boolean {
  return a?.sets === b?.sets && a?.service.metadata.creationTimestamp === b?.service.metadata.creationTimestamp
}
