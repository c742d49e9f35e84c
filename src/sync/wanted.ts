// SPDX-License-Identifier: Apache-2.0
import { type Change, type ServiceMap, serviceMaps } from '#state/entry.ts'

const forEachMap = <T>(make: () => T) => Object.fromEntries(serviceMaps.map(map => [map, make()])) as Record<ServiceMap, T>

interface Entry {
  readonly key: string
  /** Undefined: not wanted any more. */
  value: string | undefined
  /** The last comparison that found it in the map. */
  seen: number
  /** Which one was read after it the last time. The kernel tells them mostly in the same order, so that none has to be looked up. */
  next: Entry | undefined
}

const newEntry = (key: string, value: string): Entry => ({ key, value, seen: 0, next: undefined })

/** The entries that the maps are to have, and which of them may not be so yet. */
export class Wanted {
  readonly #entries = forEachMap(() => new Map<string, Entry>())
  readonly #pending = forEachMap(() => new Set<string>())
  #comparison = 0
  /** The last one that the present comparison has met. */
  #met: Entry | undefined
  /** Of the map that is being compared: what was written since somebody began to read it. */
  #fresh: { readonly map: ServiceMap; readonly keys: Set<string> } | undefined

  /** What is in the map already, at the start, as the kernel tells it: wanted until something else is said. */
  adopt(map: ServiceMap, page: readonly { readonly key: string; readonly value: string }[]): void {
    let before: Entry | undefined
    for (const { key, value } of page) {
      const entry = newEntry(key, value)
      if (before !== undefined) before.next = entry
      before = entry
      this.#entries[map].set(key, entry)
    }
  }

  set({ map, key, value }: Change): void {
    const entries = this.#entries[map]
    const entry = entries.get(key)
    if (entry?.value === value) return
    if (entry !== undefined) entry.value = value
    if (value === undefined) entries.delete(key)
    else if (entry === undefined) entries.set(key, newEntry(key, value))
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
    if (this.#fresh?.map === map) this.#fresh.keys.add(key)
    if (this.get(map, key) === value) this.#pending[map].delete(key)
  }

  /** A comparison of a map begins, the only one. */
  compare(): void {
    this.#comparison++
    this.#met = undefined
  }

  /** Somebody begins to read a part of the map: what he will say of entries that are written from now on may be old. */
  beginRead(map: ServiceMap): void {
    this.#fresh = { map, keys: new Set() }
  }

  endRead(): void {
    this.#fresh = undefined
  }

  /** Whether what was read says nothing of this entry: it is to be written, or was since. */
  isUncertain(map: ServiceMap, key: string): boolean {
    return this.isPending(map, key) || (this.#fresh?.map === map && this.#fresh.keys.has(key))
  }

  /** Whether the map has this entry as it is wanted. The comparison has met it. */
  meets(map: ServiceMap, key: string, value: string): boolean {
    const likely = this.#met?.next
    const isThat = likely?.key === key && likely.value !== undefined
    const entry = isThat ? likely : this.#entries[map].get(key)
    if (entry === undefined) return false
    if (this.#met !== undefined) this.#met.next = entry
    this.#met = entry
    entry.seen = this.#comparison
    return entry.value === value
  }

  /** What the comparison has not met. */
  unseen(map: ServiceMap): readonly string[] {
    const keys: string[] = []
    this.#entries[map].forEach((entry, key) => {
      if (entry.seen !== this.#comparison) keys.push(key)
    })
    return keys
  }

  pending(): readonly Change[] {
    return serviceMaps.flatMap(map => [...this.#pending[map]].map(key => ({ map, key, value: this.get(map, key) })))
  }

  get pendingCount(): number {
    return serviceMaps.reduce((sum, map) => sum + this.#pending[map].size, 0)
  }

  isPending(map: ServiceMap, key: string): boolean {
    return this.#pending[map].has(key)
  }

  get(map: ServiceMap, key: string): string | undefined {
    return this.#entries[map].get(key)?.value
  }

  count(map: ServiceMap): number {
    return this.#entries[map].size
  }

  counts(): Readonly<Record<ServiceMap, number>> {
    return Object.fromEntries(serviceMaps.map(map => [map, this.count(map)])) as Record<ServiceMap, number>
  }

  *entries(map: ServiceMap): Iterable<readonly [key: string, value: string]> {
    for (const [key, { value }] of this.#entries[map]) if (value !== undefined) yield [key, value]
  }
}
