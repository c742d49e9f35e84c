// SPDX-License-Identifier: Apache-2.0
import { backendState } from '#kernel/bpf/words.ts'
import type { Change } from '#state/entry.ts'
import { protocols, type Target } from '#state/target.ts'
import { backendEntry, noBackend } from './entries.ts'

/**
 * How long a backend stays after the last set has let it go: connections that go on need it, and one that is silent for longer than this has
 * lost its entry among the flows anyway.
 */
export const drainMs = 24 * 3600 * 1000

interface Backend {
  readonly id: number
  readonly target: Target
  /** How many sets have it. */
  sets: number
}

/** What was in the map when the process began. */
export interface RestoredBackend {
  readonly id: number
  readonly target: Target
}

/**
 * The numbers of backends. A number is never given twice: a flow that remembers one would go to somebody else. Since the one with the highest number
 * stays until there is a higher one, a process that begins anew goes on from there.
 *
 * Of TCP all sets share them. Of the others each Service has its own: what draws a client of UDP away from a backend that its Service has lost is that it drains, and
 * another Service may have it still.
 */
export class Backends {
  readonly #byKey = new Map<string, Backend>()
  /** Since when, the first one first. */
  readonly #draining = new Map<string, number>()
  readonly #touched = new Set<string>()
  readonly #gone = new Set<number>()
  readonly #most: number
  #last = 0

  /** Nobody has asked for what was restored: it drains from now on, unless somebody does before the first `changes`. */
  constructor(restored: readonly RestoredBackend[], most: number, now: number) {
    this.#most = most
    for (const { id, target } of restored.toSorted((a, b) => a.id - b.id)) {
      const key = isShared(target) ? target.key : unclaimed(target, id)
      this.#last = id
      // Twice the same target is none of our doing: the later number is the one that new flows have.
      const other = this.#byKey.get(key)
      if (other !== undefined) this.#gone.add(other.id)
      this.#byKey.set(key, { id, target, sets: 0 })
      this.#draining.delete(key)
      this.#draining.set(key, now)
      this.#touched.add(key)
    }
  }

  /** For one set more, of that Service. `known`: the numbers that an earlier process had in this set. */
  take(target: Target, service: string, known: readonly number[] = []): number {
    const key = keyOf(target, service)
    let found = this.#byKey.get(key) ?? this.#claim(target, known, key)
    if (found === undefined) {
      found = { id: ++this.#last, target, sets: 0 }
      this.#byKey.set(key, found)
    }
    if (found.sets++ === 0) this.#touched.add(key)
    this.#draining.delete(key)
    return found.id
  }

  /** What was restored is this Service's from now on. */
  #claim(target: Target, known: readonly number[], key: string): Backend | undefined {
    if (isShared(target)) return undefined
    for (const id of known) {
      const before = unclaimed(target, id)
      const found = this.#byKey.get(before)
      if (found === undefined) continue
      for (const keys of [this.#byKey, this.#draining, this.#touched]) keys.delete(before)
      this.#byKey.set(key, found)
      return found
    }
    return undefined
  }

  /** By one set. */
  release(target: Target, service: string, now: number): void {
    const key = keyOf(target, service)
    const found = this.#byKey.get(key)
    if (found === undefined || --found.sets > 0) return
    this.#draining.set(key, now)
    this.#touched.add(key)
  }

  /** When the next one goes. */
  get nextExpiry(): number | undefined {
    for (const [key, since] of this.#draining) if (this.#byKey.get(key)?.id !== this.#last) return since + drainMs
    return undefined
  }

  /** What has changed since the last call; whose time is over goes, and the longest draining ones when they are what fills the map. */
  changes(now: number): readonly Change[] {
    this.#expire(now)
    const changes: Change[] = [...this.#gone].map(noBackend)
    for (const key of this.#touched) {
      const b = this.#byKey.get(key)
      if (b !== undefined) changes.push(backendEntry(b.id, b.sets > 0 ? backendState.active : backendState.draining, b.target))
    }
    this.#gone.clear()
    this.#touched.clear()
    return changes
  }

  #expire(now: number): void {
    for (const [key, since] of this.#draining) {
      if (since + drainMs > now && this.#byKey.size <= this.#most) return
      const { id } = this.#byKey.get(key) ?? { id: this.#last }
      if (id === this.#last) continue
      this.#draining.delete(key)
      this.#byKey.delete(key)
      this.#gone.add(id)
    }
  }
}

function isShared({ protocol }: Target): boolean {
  return protocol === protocols.TCP
}

function keyOf(target: Target, service: string): string {
  return isShared(target) ? target.key : `${target.key} ${service}`
}

/** Until a Service takes it. */
function unclaimed({ key }: Target, id: number): string {
  return `${key} #${id}`
}
