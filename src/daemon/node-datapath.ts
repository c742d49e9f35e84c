// SPDX-License-Identifier: Apache-2.0
import { parseSwitch } from '#config/datapath-switch.ts'
import type { Context } from '#daemon/context.ts'
import { type DatapathGoal, hasPrograms, nodeDatapathOf } from '#daemon/datapath-memory.ts'
import { DatapathRecord } from '#daemon/datapath-record.ts'
import { nextStep, type Step } from '#daemon/datapath-step.ts'
import { missingForPrograms, missingForSockets } from '#daemon/datapath-support.ts'
import { DatapathWish, type Wanted } from '#daemon/datapath-wish.ts'
import { isHeldHere, type Repair } from '#daemon/repair.ts'
import { Signal } from '#daemon/signal.ts'
import { mode as modeBit } from '#kernel/bpf/words.ts'
import type { BpfProbe } from '#kernel/port.ts'
import { messageOf } from '#lib/errors.ts'

/** Milliseconds between two looks at the files: somebody who wrote one is waiting. */
const period = 2_000
/** How long after a switch that failed the next attempt is made. */
const pause = 60_000

/**
 * Keeps the node forwarding as is asked for (`DatapathWish`). What the kernel cannot serve leaves the node in regular mode, and a switch that fails leaves it
 * as it was; an Event says why. The goal is remembered until a reboot, so that a restart changes nothing and waits for nobody.
 */
export class NodeDatapathKeeper {
  /** Fires after the node's datapath, or only its reason, has become another. */
  readonly changed = new Signal()
  readonly #ctx: Context
  readonly #repair: Repair
  readonly #wish: DatapathWish
  readonly #record: DatapathRecord
  /** What the engine was told; undefined before the first time in this process. */
  #told: DatapathGoal | undefined
  /** What was dealt with, by success or not, as text. */
  #settled = ''
  /** Whether the last attempt failed, and the next one waits. */
  #paused = false
  /** Why the last look failed: it comes every few seconds. */
  #problem = ''
  #again = false
  #running: Promise<void> | undefined
  #stopped = false
  #cancelTimer = () => {}
  #cancelRetry = () => {}
  #offChanged = () => {}

  constructor(ctx: Context, repair: Repair) {
    this.#ctx = ctx
    this.#repair = repair
    this.#wish = new DatapathWish(ctx)
    this.#record = new DatapathRecord(ctx)
  }

  /**
   * Takes up what a predecessor in this boot did, without asking anybody, unless a person has said otherwise since. While the programs are off
   * nothing of them is touched. Never rejects.
   */
  async restore(): Promise<void> {
    const { host, options, datapath, programs, log } = this.#ctx
    const last = this.#record.recall()
    const said = parseSwitch(host.read(options.switchPath))
    const off = said?.off ?? last?.off ?? false
    try {
      if (off) await programs.turnOff(true)
      if (last === undefined || !hasPrograms(last) || (last.kind === 'v2' && said?.kind === 'veth')) return
      const goal = { ...last, off }
      const step = await this.#step(goal)
      if (step.do === 'set') {
        await datapath.setNode(step.node, this.#held())
        this.#told = goal
      }
      this.#record.restored(goal)
    } catch (err) {
      log.error(
        { err },
        `what the process before did cannot be taken up, and is tried again with the choice of the datapath: ${messageOf(err)}`,
      )
    }
  }

  /** Resolves when the node forwards as is asked for, or when it was told why nothing can be chosen; follows changes from then on. */
  async start(): Promise<void> {
    this.#offChanged = this.#ctx.cluster.changed.on(() => this.poke())
    this.#schedule()
    this.poke()
    await this.#running
  }

  stop(): void {
    this.#stopped = true
    this.#offChanged()
    this.#cancelTimer()
    this.#cancelRetry()
  }

  poke(): void {
    this.#again = true
    if (this.#stopped) return
    this.#running ??= this.#loop().finally(() => {
      this.#running = undefined
    })
  }

  #schedule(): void {
    this.#cancelTimer = this.#ctx.clock.after(period, () => {
      if (this.#stopped) return
      this.poke()
      this.#schedule()
    })
  }

  async #loop(): Promise<void> {
    while (this.#again && !this.#stopped) {
      this.#again = false
      try {
        await this.#follow()
        this.#problem = ''
      } catch (err) {
        const problem = `the programs cannot be looked at: ${messageOf(err)}`
        if (problem !== this.#problem) this.#ctx.log.error({ err }, problem)
        this.#problem = problem
        this.#ctx.facts.trace.set('datapath', problem)
        // What was reached is said again afterwards.
        this.#settled = ''
      }
    }
  }

  async #follow(): Promise<void> {
    const { programs, facts } = this.#ctx
    // Before the file: `off` writes that first, so that a mode of 0 beside a file without `off` is one that has ended.
    const mode = await programs.mode()
    const wanted = this.#wish.read(this.#record.last)
    if (wanted === undefined) return
    const key = JSON.stringify([wanted.goal, wanted.unnamed, wanted.mistakes, wanted.settings])
    if (key !== this.#settled || this.#hasStrayed(mode)) await this.#become(wanted, mode)
    this.#settled = key
    // Who wrote the file waits for this.
    facts.trace.set('datapath_switch', wanted.switched)
  }

  /** Whether somebody has changed the mode since the goal was reached: `off` and `on` between two looks leave it at 0. */
  #hasStrayed(mode: number | undefined): boolean {
    const { last } = this.#record
    return last !== undefined && !this.#paused && nextStep(last, this.#found(mode)).do !== 'nothing'
  }

  async #become(wanted: Wanted, mode: number | undefined): Promise<void> {
    const { goal } = wanted
    this.#cancelRetry()
    this.#paused = false
    const { kind } = nodeDatapathOf(goal, false)
    if (kind !== 'veth' && !(goal.off && goal.services === undefined)) {
      const probes = await this.#probe(goal, mode)
      if (this.#stopped) return
      const missing = missingForPrograms(probes, kind === 'v2' ? wanted : undefined)
      if (missing.length > 0) return this.#stayRegular(wanted, missing.join('; '))
      const ofSockets = missingForSockets(probes)
      if (ofSockets.length > 0) this.#record.limited(ofSockets.join('; '))
    }
    try {
      await this.#reach(goal)
    } catch (err) {
      this.#retryLater()
      if (this.#told === undefined && hasPrograms(goal)) return this.#stayRegular(wanted, messageOf(err))
      return this.#failed(goal, err)
    }
    this.#reached(wanted, goal)
  }

  /** What is loaded has what it needs of the kernel, but for what Services need besides. */
  async #probe(goal: DatapathGoal, mode: number | undefined): Promise<readonly BpfProbe[]> {
    const beginsServices = goal.services !== undefined && this.#told?.services === undefined && ((mode ?? 0) & modeBit.service) === 0
    return mode === undefined || beginsServices ? this.#ctx.programs.probe() : []
  }

  async #stayRegular(wanted: Wanted, missing: string): Promise<void> {
    const { services: _, ...asked } = wanted.goal
    const goal: DatapathGoal = { ...asked, kind: 'veth', by: 'probe', why: `${asked.why}, but ${missing}`, off: false }
    try {
      await this.#reach(goal)
    } catch (err) {
      this.#retryLater()
      return this.#failed(goal, err)
    }
    this.#record.unsupported(wanted.goal, missing)
    this.#reached(wanted, goal)
  }

  /** What the pods' kernel lacks after a switch is the switch's own doing, and is not told. */
  async #reach(goal: DatapathGoal): Promise<void> {
    const { programs, datapath } = this.#ctx
    const step = await this.#step(goal)
    if (step.do === 'nothing') return
    if (step.do === 'turn-off') return programs.turnOff(false)
    this.#record.begun(goal)
    await this.#repair.quietly(() => datapath.setNode(step.node, this.#held()))
    this.#told = goal
  }

  #reached(wanted: Wanted, goal: DatapathGoal): void {
    this.#record.reached(goal, wanted.settings)
    this.changed.fire()
  }

  /** A daemon that stops lets go of the kernel; what is under way then is taken up by the next one. */
  #failed(goal: DatapathGoal, err: unknown): void {
    if (!this.#stopped) this.#record.failed(goal, this.#told, err)
  }

  #retryLater(): void {
    if (this.#stopped) return
    this.#paused = true
    this.#cancelRetry()
    this.#cancelRetry = this.#ctx.clock.after(pause, () => {
      this.#settled = ''
      this.poke()
    })
  }

  async #step(goal: DatapathGoal): Promise<Step> {
    return nextStep(goal, this.#found(await this.#ctx.programs.mode()))
  }

  #found(mode: number | undefined) {
    return { told: this.#told, mode, pods: this.#held().length }
  }

  #held() {
    return this.#ctx.book
      .leases()
      .filter(isHeldHere)
      .map(l => l.attachment)
  }
}
