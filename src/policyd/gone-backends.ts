// SPDX-License-Identifier: Apache-2.0
import { maps } from '#kernel/bpf/maps.ts'
import { backendState } from '#kernel/bpf/words.ts'
import { type Clock, sleepUnlessAborted } from '#lib/clock.ts'
import { messageOf } from '#lib/errors.ts'
import type { Logger } from '#lib/log.ts'
import { backendHas, type Change } from '#state/entry.ts'
import type { ServiceTables } from '#state/service-tables.ts'
import { protocols, type Target, target } from '#state/target.ts'

export interface GoneBackendsDeps {
  readonly clock: Clock
  readonly log: Logger
  /** Ends sockets of the node that are connected to these over UDP. Why it never can, or undefined. Throws when it may be later. */
  readonly cutSockets: (gone: readonly Target[]) => Promise<string | undefined>
}

type Tables = Pick<ServiceTables, 'services' | 'slicesOf'>

/**
 * Milliseconds: until somebody who was choosing a backend meanwhile has connected; between two trials when terwayd is away; and between two walks
 * through all endpoints, while Services change and one that leaves still serves.
 */
const [afterwards, retry, pause] = [1000, 5000, 1000]

/**
 * Backends of UDP that no Service has any more. While one still serves, as a pod does that ends gracefully, who is connected to it may stay; then it is
 * gone, and the sockets of the node that are connected to it are ended. TCP ends by itself.
 */
export class GoneBackends {
  readonly #deps: GoneBackendsDeps
  readonly #stopper = new AbortController()
  /** By their keys. Not in the maps yet; there, and perhaps still serving; and gone. */
  readonly #heard = new Map<string, Target>()
  readonly #leaving = new Map<string, Target>()
  readonly #gone = new Map<string, Target>()
  #walked = Number.NEGATIVE_INFINITY
  #cancelWalk: (() => void) | undefined
  #working = false
  /** That terwayd does not answer has been said. */
  #complained = false
  #cannot: string | undefined

  constructor(deps: GoneBackendsDeps) {
    this.#deps = deps
  }

  /** Why the kernel cannot; undefined while it can. */
  get cannot(): string | undefined {
    return this.#cannot
  }

  /** Asks whether it can. */
  begin(): void {
    void this.#work()
  }

  /** What is to be written. */
  hear(changes: readonly Change[]): void {
    for (const { target: t, drains } of changes.flatMap(c => backendIn(c) ?? [])) {
      if (drains) this.#heard.set(t.key, t)
      else for (const known of [this.#heard, this.#leaving, this.#gone]) known.delete(t.key)
    }
  }

  /** The maps have everything: whoever connects now gets none of those that leave. */
  look(tables: Tables): void {
    for (const [key, t] of this.#heard) this.#leaving.set(key, t)
    this.#heard.clear()
    this.#walk(tables)
  }

  #walk(tables: Tables): void {
    if (this.#leaving.size === 0 || this.#cancelWalk !== undefined || this.#stopper.signal.aborted) return
    const { clock } = this.#deps
    const rest = this.#walked + pause - clock.now()
    if (rest > 0) {
      this.#cancelWalk = clock.after(rest, () => {
        this.#cancelWalk = undefined
        this.#walk(tables)
      })
      return
    }
    this.#walked = clock.now()
    const serving = servingIn(tables)
    for (const [key, t] of this.#leaving) {
      if (serving.has(key)) continue
      this.#leaving.delete(key)
      this.#gone.set(key, t)
    }
    if (this.#gone.size > 0) void this.#work()
  }

  stop(): void {
    this.#stopper.abort(new Error('stopped'))
    this.#cancelWalk?.()
    this.#cancelWalk = undefined
  }

  async #work(): Promise<void> {
    if (this.#working || this.#cannot !== undefined) return
    this.#working = true
    do await this.#round()
    while (this.#gone.size > 0 && this.#cannot === undefined && !this.#stopper.signal.aborted)
    this.#working = false
  }

  /** Twice, so that nobody is missed who had chosen before. */
  async #round(): Promise<void> {
    const { clock } = this.#deps
    const some = [...this.#gone]
    if (!(await this.#cut(some.map(([, t]) => t)))) {
      await sleepUnlessAborted(clock, retry, this.#stopper.signal)
      return
    }
    if (some.length === 0 || this.#cannot !== undefined) return
    await sleepUnlessAborted(clock, afterwards, this.#stopper.signal)
    const still = some.filter(([key]) => this.#gone.has(key))
    for (const [key] of still) this.#gone.delete(key)
    if (still.length > 0 && !this.#stopper.signal.aborted) await this.#cut(still.map(([, t]) => t))
  }

  /** False when it is to be tried again. */
  async #cut(gone: readonly Target[]): Promise<boolean> {
    const { cutSockets, log } = this.#deps
    try {
      this.#cannot = await cutSockets(gone)
      if (this.#cannot !== undefined) log.warn({ reason: this.#cannot }, 'connected sockets of UDP keep a backend that is gone')
      this.#complained = false
      return true
    } catch (e) {
      if (!this.#complained) log.warn({ err: messageOf(e) }, 'sockets of backends that are gone cannot be ended now; it is tried again')
      this.#complained = true
      return false
    }
  }
}

function backendIn({ map, value }: Change): { readonly target: Target; readonly drains: boolean } | undefined {
  if (map !== 'backends' || value === undefined || !backendHas('protocol', protocols.UDP, value)) return undefined
  const { ip, port, protocol, state } = maps.backends.value.decode(Buffer.from(value, 'hex'))
  return ip === undefined ? undefined : { target: target(ip, port, protocol), drains: state === backendState.draining }
}

/** Where somebody answers over UDP for any Service, by the targets' keys. */
function servingIn(tables: Tables): ReadonlySet<string> {
  const keys = new Set<string>()
  for (const service of tables.services.keys())
    for (const { ports, endpoints } of tables.slicesOf(service))
      for (const { targets } of ports.filter(p => p.protocol === protocols.UDP))
        for (const [i, t] of targets.entries()) if (endpoints[i]?.serving === true) keys.add(t.key)
  return keys
}
