// SPDX-License-Identifier: Apache-2.0

/**
 * What this process knows about its own recent calls, per node. Nothing here is needed for safety after a crash: an unknown
 * key counts as touched at the process's start, so a new process trusts nothing until the windows have passed.
 */
export interface Windows {
  /** Milliseconds that a Describe may lag behind the calls before it. */
  readonly lag: number
  /** Milliseconds after which a call that got no answer cannot take effect any more. */
  readonly late: number
}

export const defaultWindows: Windows = { lag: 30_000, late: 60_000 }

/** After each refusal in a row the next try is put off twice as long, up to this many times. */
const doublings = 4
/** A try that is older puts off nothing any more. Milliseconds. */
const forgotten = 3_600_000

export class Memory {
  readonly #started: number
  readonly #windows: Windows
  readonly #added = new Map<string, number>()
  readonly #removed = new Map<string, number>()
  readonly #doubt = new Map<string, number>()
  readonly #born = new Set<string>()
  readonly #tried = new Map<string, { readonly at: number; readonly refusals: number }>()

  constructor(started: number, windows: Windows) {
    this.#started = started
    this.#windows = windows
  }

  /** An ENI (by id) or address (by `eni/ip`) came into being, or went, at `now`. */
  added(key: string, now: number): void {
    this.#added.set(key, now)
  }

  removed(key: string, now: number): void {
    this.#removed.set(key, now)
  }

  /** The ENI was seen attached at `now`. */
  attached(eniId: string, now: number): void {
    this.#added.set(`${eniId}/attached`, now)
  }

  /** Whether a Describe begun at `begun` that shows the ENI unattached is later than what showed it attached. */
  detachmentProven(eniId: string, begun: number): boolean {
    return this.absenceProven(`${eniId}/attached`, begun)
  }

  /** Whether a Describe begun at `begun` proves that the key does not exist / does exist. */
  absenceProven(key: string, begun: number): boolean {
    return begun >= (this.#added.get(key) ?? this.#started) + this.#windows.lag
  }

  presenceProven(key: string, begun: number): boolean {
    return begun >= (this.#removed.get(key) ?? this.#started) + this.#windows.lag
  }

  /** A call about the key got no verdict at `now`. */
  doubted(key: string, now: number): void {
    this.#doubt.set(key, now)
  }

  /** No earlier process can have made a call about the key: its token, or its mark, is of this process. */
  born(key: string): void {
    this.#born.add(key)
  }

  /** Whether no call about the key, of this or an earlier process, can still take effect by itself. */
  certain(key: string, now: number): boolean {
    const since = this.#doubt.get(key) ?? (this.#born.has(key) ? undefined : this.#started)
    return since === undefined || now >= since + this.#windows.late
  }

  /** True at most once per `interval` and key; less often after refusals. */
  mayTry(key: string, now: number, interval: number): boolean {
    const last = this.#tried.get(key)
    if (last !== undefined && now < last.at + interval * 2 ** Math.min(last.refusals, doublings)) return false
    this.#tried.set(key, { at: now, refusals: last?.refusals ?? 0 })
    return true
  }

  /** How the last try went: a refusal will be repeated, a call without an answer need not be. */
  tried(key: string, refused: boolean): void {
    const last = this.#tried.get(key)
    if (last !== undefined) this.#tried.set(key, { ...last, refusals: refused ? last.refusals + 1 : 0 })
  }

  /** The last try does not count. */
  untried(key: string): void {
    this.#tried.delete(key)
  }

  /** Forgets what no longer matters: old times, and births whose key is not in use. */
  prune(now: number, inUse: (key: string) => boolean): void {
    for (const key of this.#born) if (!inUse(key)) this.#born.delete(key)
    const old = now - 2 * (this.#windows.lag + this.#windows.late)
    for (const map of [this.#added, this.#removed, this.#doubt]) for (const [key, at] of map) if (at < old) map.delete(key)
    for (const [key, { at }] of this.#tried) if (at < now - forgotten) this.#tried.delete(key)
  }
}
