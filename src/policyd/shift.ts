// SPDX-License-Identifier: Apache-2.0
import type { Logger } from '#lib/log.ts'
import { type Decision, undecided } from '#policyd/decision.ts'
import type { PolicyView } from '#policyd/expose.ts'
import type { Policyd } from '#policyd/policyd.ts'

/** The work, and what has to be closed after it. */
export interface Working {
  readonly policyd: Policyd
  close(): Promise<void>
}

/** Works while Services are ours. Otherwise there is no watch, no thread and no port: the process waits for another decision. */
export class Shift {
  readonly #begin: (decision: Decision) => Promise<Working>
  readonly #failed: (reason: unknown) => void
  readonly #log: Logger
  #decision = undecided
  #working: Working | undefined

  /** `failed` hears why work that was begun cannot go on. */
  constructor(begin: (decision: Decision) => Promise<Working>, failed: (reason: unknown) => void, log: Logger) {
    this.#begin = begin
    this.#failed = failed
    this.#log = log
  }

  /** Rejects when the work cannot begin: whoever restarts the process tries again. */
  async hear(decision: Decision): Promise<void> {
    const before = this.#decision
    this.#decision = decision
    this.#log.info({ reason: decision.reason }, decision.ours ? 'writing Services' : 'waiting: Services are not ours')
    if (!decision.ours) return this.end()
    // Numbers are in the maps: the work that begins anew changes what the algorithm changes, and nothing else.
    if (decision.algorithm !== before.algorithm) await this.end()
    if (this.#working !== undefined) return
    const working = await this.#begin(decision)
    this.#working = working
    working.policyd.start().catch(err => {
      // A stop while there are no maps is none.
      if (this.#working === working) this.#failed(err)
    })
  }

  view(nodeName: string): PolicyView {
    const policyd = this.#working?.policyd
    return {
      nodeName,
      decision: this.#decision,
      maps: policyd?.status(),
      services: () => policyd?.views() ?? [],
      notes: policyd?.notes() ?? [],
      unreadable: policyd?.unreadable() ?? [],
    }
  }

  /** Leaves the maps as they are. */
  async end(): Promise<void> {
    const working = this.#working
    this.#working = undefined
    await working?.close()
  }
}
