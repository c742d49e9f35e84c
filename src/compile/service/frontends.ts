// SPDX-License-Identifier: Apache-2.0
import type { Change } from '#state/entry.ts'
import { frontendEntry, noFrontend } from './entries.ts'
import { type Target, targetKey } from './plan.ts'

export interface RestoredFrontend {
  readonly id: number
  readonly target: Target
}

interface Frontend {
  readonly id: number
  readonly target: Target
}

/**
 * The numbers of frontends. They stay after their Services are gone, since answers of flows that go on are translated back by them; of those the oldest
 * ones go when there are too many. A number is never given twice (see Backends).
 */
export class Frontends {
  readonly #byKey = new Map<string, Frontend>()
  /** Of no Service any more, the longest gone first. */
  readonly #unused = new Set<string>()
  readonly #most: number
  #changes: Change[] = []
  #last = 0

  constructor(restored: readonly RestoredFrontend[], most: number) {
    this.#most = most
    for (const { id, target } of restored.toSorted((a, b) => a.id - b.id)) {
      this.#last = id
      const key = targetKey(target)
      const other = this.#byKey.get(key)
      if (other !== undefined) this.#changes.push(noFrontend(other.id))
      this.#byKey.set(key, { id, target })
      this.#unused.add(key)
      this.#changes.push(frontendEntry(id, target))
    }
  }

  use(target: Target): number {
    const key = targetKey(target)
    this.#unused.delete(key)
    const known = this.#byKey.get(key)
    if (known !== undefined) return known.id
    const id = ++this.#last
    this.#byKey.set(key, { id, target })
    this.#changes.push(frontendEntry(id, target))
    return id
  }

  leave(target: Target): void {
    const key = targetKey(target)
    if (this.#byKey.has(key)) this.#unused.add(key)
  }

  numberOf(target: Target): number | undefined {
    return this.#byKey.get(targetKey(target))?.id
  }

  /** What has changed since the last call. */
  changes(): readonly Change[] {
    for (const key of this.#unused) {
      if (this.#byKey.size <= this.#most) break
      const id = this.#byKey.get(key)?.id
      if (id === undefined || id === this.#last) continue
      this.#byKey.delete(key)
      this.#unused.delete(key)
      this.#changes.push(noFrontend(id))
    }
    const changes = this.#changes
    this.#changes = []
    return changes
  }
}
