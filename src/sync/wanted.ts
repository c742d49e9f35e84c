// SPDX-License-Identifier: Apache-2.0
import { type Change, type ServiceMap, serviceMaps } from '#state/entry.ts'

const forEachMap = <T>(make: () => T) => Object.fromEntries(serviceMaps.map(map => [map, make()])) as Record<ServiceMap, T>

/** The entries that the maps are to have, and which of them may not be so yet. */
export class Wanted {
  readonly #entries = forEachMap(() => new Map<string, string>())
  readonly #pending = forEachMap(() => new Set<string>())

  /** What is in the map already, at the start: wanted until something else is said. */
  adopt(map: ServiceMap, key: string, value: string): void {
    this.#entries[map].set(key, value)
  }

  set({ map, key, value }: Change): void {
    const entries = this.#entries[map]
    if (entries.get(key) === value) return
    if (value === undefined) entries.delete(key)
    else entries.set(key, value)
    this.touch(map, key)
  }

  /** These and no others. */
  replace(changes: readonly Change[]): void {
    const kept = forEachMap(() => new Set<string>())
    for (const change of changes) {
      this.set(change)
      kept[change.map].add(change.key)
    }
    for (const map of serviceMaps)
      for (const key of [...this.#entries[map].keys()]) if (!kept[map].has(key)) this.set({ map, key, value: undefined })
  }

  /** The map may not have this entry as it is wanted, or may have it although it is not. */
  touch(map: ServiceMap, key: string): void {
    this.#pending[map].add(key)
  }

  /** The maps may have nothing of it all. */
  touchAll(): void {
    for (const map of serviceMaps) for (const key of this.#entries[map].keys()) this.touch(map, key)
  }

  /** The map has it so now. Something else may be wanted since. */
  written({ map, key, value }: Change): void {
    if (this.#entries[map].get(key) === value) this.#pending[map].delete(key)
  }

  pending(): readonly Change[] {
    return serviceMaps.flatMap(map => [...this.#pending[map]].map(key => ({ map, key, value: this.#entries[map].get(key) })))
  }

  get pendingCount(): number {
    return serviceMaps.reduce((sum, map) => sum + this.#pending[map].size, 0)
  }

  isPending(map: ServiceMap, key: string): boolean {
    return this.#pending[map].has(key)
  }

  get(map: ServiceMap, key: string): string | undefined {
    return this.#entries[map].get(key)
  }

  count(map: ServiceMap): number {
    return this.#entries[map].size
  }

  counts(): Readonly<Record<ServiceMap, number>> {
    return Object.fromEntries(serviceMaps.map(map => [map, this.count(map)])) as Record<ServiceMap, number>
  }

  keys(map: ServiceMap): Iterable<string> {
    return this.#entries[map].keys()
  }

  entries(map: ServiceMap): Iterable<readonly [key: string, value: string]> {
    return this.#entries[map]
  }
}
