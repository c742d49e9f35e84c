// SPDX-License-Identifier: Apache-2.0
import type { Context } from '#daemon/context.ts'
import { busiestPods } from '#daemon/pod-flows.ts'
import { messageOf } from '#lib/errors.ts'

/** Milliseconds between two samples: each walks through tables of any size. */
const period = 60_000
/** How many pods are named: a label for each pod that there ever was would never go. */
const shown = 10

type Sampled = Pick<Context, 'clock' | 'facts' | 'programs' | 'observer' | 'book' | 'log'>

/** Tells what the programs count, while there are any. */
export class ProgramSampler {
  readonly #ctx: Sampled
  #stopped = false
  #cancel = () => {}

  constructor(ctx: Sampled) {
    this.#ctx = ctx
  }

  start(): void {
    void this.#sample().finally(() => {
      if (!this.#stopped) this.#cancel = this.#ctx.clock.after(period, () => this.start())
    })
  }

  stop(): void {
    this.#stopped = true
    this.#cancel()
  }

  async #sample(): Promise<void> {
    const { facts, programs, observer, book, log } = this.#ctx
    if (facts.datapath?.hasPrograms !== true) return
    try {
      const sample = await programs.sample()
      observer.programs(sample, busiestPods(sample.live, book.leases(), shown))
    } catch (err) {
      if (!this.#stopped) log.warn({ err }, `the programs cannot be asked what they count: ${messageOf(err)}`)
    }
  }
}
