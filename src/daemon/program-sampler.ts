// SPDX-License-Identifier: Apache-2.0
import type { Context } from '#daemon/context.ts'
import { busiestPods, refusedPods } from '#daemon/pod-flows.ts'
import { messageOf } from '#lib/errors.ts'
import type { Ip } from '#net/ip.ts'

/** Milliseconds between two samples: each walks through tables of any size. */
const period = 60_000
/** How many pods are named: a label for each pod that there ever was would never go. */
const shown = 10

type Sampled = Pick<Context, 'clock' | 'facts' | 'programs' | 'observer' | 'book' | 'kube' | 'log'>

/** Tells what the programs count, while there are any. */
export class ProgramSampler {
  readonly #ctx: Sampled
  #stopped = false
  #told: ReadonlySet<string> = new Set()
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

  /** Each pod once: it goes on being refused until it has fewer flows. */
  #tellRefused(refused: ReadonlyMap<Ip, number>): void {
    const { book, kube, log } = this.#ctx
    const pods = refusedPods(refused, book.leases())
    const told = this.#told
    this.#told = new Set(pods.map(({ uid }) => uid))
    for (const { namespace, pod, uid, flows } of pods.filter(p => !told.has(p.uid))) {
      const message = `it has as many connections as conntrack_entries_per_pod lets it have: ${flows} were dropped until now`
      log.warn({ namespace, pod }, message)
      const about = { apiVersion: 'v1', kind: 'Pod', namespace, name: pod, uid }
      kube.event({ about, type: 'Warning', reason: 'FlowLimit', message, action: 'DataPath' })
    }
  }

  async #sample(): Promise<void> {
    const { facts, programs, observer, book, log } = this.#ctx
    if (facts.datapath?.hasPrograms !== true) return
    try {
      const sample = await programs.sample()
      observer.programs(sample, busiestPods(sample.live, book.leases(), shown))
      this.#tellRefused(sample.refused)
    } catch (err) {
      if (!this.#stopped) log.warn({ err }, `the programs cannot be asked what they count: ${messageOf(err)}`)
    }
  }
}
