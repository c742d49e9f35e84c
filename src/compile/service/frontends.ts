// SPDX-License-Identifier: Apache-2.0
import type { Change } from '#state/entry.ts'
import type { Target } from '#state/target.ts'
import { frontendEntry, noFrontend } from './entries.ts'

export interface RestoredFrontend {
  readonly id: number
  readonly target: Target
}

/**
 * The numbers of frontends. They stay after their Services are gone, since answers of flows that go on are translated back by them; of those the oldest
 * ones go when there are too many. A number is never given twice (see Backends).
 */
export class Frontends {
  readonly #byKey = new Map<string, number>()
  /** Of no Service any more, the longest gone first. */
  readonly #unused = new Set<string>()
  readonly #most: number
  #changes: Change[] = []
  #last = 0

  constructor(restored: readonly RestoredFrontend[], most: number) {
    this.#most = most
    for (const { id, target } of restored.toSorted((a, b) => a.id - b.id)) {
      this.#last = id
      const { key } = target
      const other = this.#byKey.get(key)
      if (other !== undefined) this.#changes.push(noFrontend(other))
      this.#byKey.set(key, id)
      this.#unused.add(key)
      this.#changes.push(frontendEntry(id, target))
    }
  }

  use(target: Target): number {
    const { key } = target
    this.#unused.delete(key)
    const known = this.#byKey.get(key)
    if (known !== undefined) return known
    const id = ++this.#last
    this.#byKey.set(key, id)
    this.#changes.push(frontendEntry(id, target))
    return id
  }

  leave({ key }: Target): void {
    if (this.#byKey.has(key)) this.#unused.add(key)
  }

  /** What has changed since the last call. */
  changes(): readonly Change[] {
    for (const key of this.#unused) {
      if (this.#byKey.size <= this.#most) break
      const id = this.#byKey.get(key)
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
