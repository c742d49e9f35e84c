// SPDX-License-Identifier: Apache-2.0
import type { PinnedMaps } from '#kernel/port.ts'
import { type Backoff, delays } from '#lib/backoff.ts'
import type { Clock } from '#lib/clock.ts'
import { messageOf } from '#lib/errors.ts'
import { type Change, type ServiceMap, serviceMaps } from '#state/entry.ts'
import { pagesOf } from '#sync/pages.ts'
import type { SyncReport } from '#sync/report.ts'
import { sweep } from '#sync/sweep.ts'
import { readSynced, syncedOp } from '#sync/synced-word.ts'
import { Wanted } from '#sync/wanted.ts'
import { NoMaps, writePending } from '#sync/writer.ts'

export interface SyncDeps {
  readonly kernel: Pick<PinnedMaps, 'apply' | 'lookUp' | 'mapPage'>
  readonly clock: Clock
  readonly report: SyncReport
}

/** Milliseconds. */
export interface SyncOptions {
  /** Between two looks whether the maps are still those that were written. */
  readonly lookInterval: number
  /** In which every map is compared once. */
  readonly sweepInterval: number
  readonly retry: Backoff
}
export const defaultSyncOptions: SyncOptions = {
  lookInterval: 1000,
  sweepInterval: 60_000,
  retry: { initialDelay: 50, duration: 200, factor: 2, jitter: 0.2, steps: Number.MAX_SAFE_INTEGER, cap: 30_000 },
}

export interface SyncStatus {
  /** There are maps. */
  readonly pinned: boolean
  /** All Services were once in these maps. */
  readonly synced: boolean
  readonly pending: number
  /** Milliseconds (of `Clock.now`) since when something is pending. */
  readonly pendingSince: number | undefined
  readonly entries: Readonly<Record<ServiceMap, number>>
  /** Why something is still pending; undefined when nothing was refused. */
  readonly lastError: string | undefined
}

/**
 * Makes the maps of Services what is wanted, and keeps them so: writes differences as they come, tries again what is refused, writes everything anew
 * when the maps are others, and compares one map after the other. Stopped, it leaves the maps as they are.
 */
export class Sync {
  readonly #wanted = new Wanted()
  readonly #deps: SyncDeps
  readonly #options: SyncOptions
  readonly #stopper = new AbortController()
  #background: readonly Promise<unknown>[] = []
  #pinned = false
  #synced = false
  #pendingSince: number | undefined
  #lastError: string | undefined
  #running: Promise<void> | undefined
  #again = false
  #cancelRetry: (() => void) | undefined
  #waits: Iterator<number>

  constructor(deps: SyncDeps, options: SyncOptions = defaultSyncOptions) {
    this.#deps = deps
    this.#options = options
    this.#waits = this.#freshWaits()
  }

  /** Waits for maps and returns what they hold, which is wanted until `begin`. Rejects when stopped meanwhile. */
  async restore(): Promise<(map: ServiceMap) => Iterable<readonly [key: string, value: string]>> {
    const { clock } = this.#deps
    while (!(await this.#adopt())) await clock.sleep(this.#options.lookInterval, this.#stopper.signal)
    return map => this.#wanted.entries(map)
  }

  async #adopt(): Promise<boolean> {
    try {
      const synced = await readSynced(this.#deps.kernel)
      if (synced === undefined) return false
      for (const map of serviceMaps) for await (const page of pagesOf(this.#deps.kernel, map)) this.#wanted.adopt(map, page)
      this.#synced = synced
      this.#pinned = true
      this.#lastError = undefined
      return true
    } catch (e) {
      this.#lastError = messageOf(e)
      return false
    }
  }

  /** The whole truth: what else the maps hold is taken away. From now on they are kept as they are wanted. */
  begin(all: readonly Change[]): void {
    this.#wanted.replace(all)
    this.#background = [this.#forever(this.#options.lookInterval, () => this.#look()), this.#sweeps()]
    this.#kick(this.#deps.clock.now())
  }

  /** `heard`: when (of `Clock.now`) the first of them became known. */
  want(changes: readonly Change[], heard: number): void {
    for (const change of changes) this.#wanted.set(change)
    if (this.#wanted.pendingCount > 0) this.#kick(heard)
  }

  /** Everything that is wanted is in the maps. */
  get isSettled(): boolean {
    return this.#wanted.pendingCount === 0
  }

  status(): SyncStatus {
    return {
      pinned: this.#pinned,
      synced: this.#synced,
      pending: this.#wanted.pendingCount,
      pendingSince: this.#pendingSince,
      entries: this.#wanted.counts(),
      lastError: this.#lastError,
    }
  }

  /** Ends after the batch that is being written. */
  async stop(): Promise<void> {
    this.#stopper.abort(new Error('stopped'))
    this.#cancelRetry?.()
    await Promise.allSettled([this.#running, ...this.#background])
  }

  #kick(heard: number, makeRoom = false): void {
    this.#pendingSince ??= heard
    this.#again = true
    if (this.#running !== undefined || !this.#pinned || this.#stopper.signal.aborted) return
    this.#running = this.#rounds(makeRoom).finally(() => {
      this.#running = undefined
    })
  }

  async #rounds(makeRoom: boolean): Promise<void> {
    while (this.#again && this.#pinned && !this.#stopper.signal.aborted) {
      this.#again = false
      await this.#round(makeRoom)
    }
  }

  async #round(makeRoom: boolean): Promise<void> {
    const { kernel, report, clock } = this.#deps
    try {
      const { written, error, onlyForRoom } = await writePending(this.#wanted, kernel, report, makeRoom, this.#stopper.signal)
      // What there is no room for would keep the node from its work for ever.
      if (!this.#synced && onlyForRoom && !this.#stopper.signal.aborted) await this.#say()
      // All that there is room for is written: nobody waits for it.
      if (error !== undefined && onlyForRoom) this.#pendingSince = undefined
      if (error !== undefined) throw error
      report.written(written, clock.now() - (this.#pendingSince ?? clock.now()))
      this.#settled()
    } catch (e) {
      this.#lastError = messageOf(e)
      // Whoever looks for maps begins again.
      if (e instanceof NoMaps) this.#pinned = false
      else this.#retryLater()
    }
  }

  async #say(): Promise<void> {
    const { failed } = await this.#deps.kernel.apply([syncedOp])
    if (failed !== undefined) throw failed
    this.#synced = true
  }

  #settled(): void {
    this.#waits = this.#freshWaits()
    this.#cancelRetry?.()
    this.#cancelRetry = undefined
    this.#lastError = undefined
    this.#pendingSince = this.#wanted.pendingCount > 0 ? this.#deps.clock.now() : undefined
  }

  /** What comes meanwhile is written at once, and puts no trial off. */
  #retryLater(): void {
    const { clock } = this.#deps
    this.#cancelRetry ??= clock.after(this.#waits.next().value ?? this.#options.lookInterval, () => {
      this.#cancelRetry = undefined
      this.#kick(clock.now(), true)
    })
  }

  #freshWaits(): Iterator<number> {
    return delays(this.#options.retry, () => this.#deps.clock.random())
  }

  /** Whether the maps are still those that were written: terwayd may have made new ones, or taken them away. */
  async #look(): Promise<void> {
    const synced = await readSynced(this.#deps.kernel)
    // A round may have ended with the word since it was read.
    if (this.#running !== undefined) return
    const renewed = synced !== undefined && (!this.#pinned || (this.#synced && !synced))
    this.#pinned = synced !== undefined
    this.#synced = synced === true
    if (!renewed) return
    this.#wanted.touchAll()
    this.#deps.report.renewed()
    this.#kick(this.#deps.clock.now())
  }

  /** One map after the other, each once in the interval. */
  #sweeps(): Promise<void> {
    let next = 0
    return this.#forever(this.#options.sweepInterval / serviceMaps.length, async () => {
      const map = serviceMaps[next++ % serviceMaps.length]
      if (map === undefined || !this.#pinned || !this.#synced) return
      await sweep(map, this.#wanted, this.#deps.kernel, this.#deps.report)
      if (this.#wanted.pendingCount > 0) this.#kick(this.#deps.clock.now())
    })
  }

  async #forever(interval: number, turn: () => Promise<void>): Promise<void> {
    const { signal } = this.#stopper
    while (!signal.aborted) {
      await this.#deps.clock.sleep(interval, signal)
      await turn().catch(e => this.#deps.report.failed(e))
    }
  }
}
