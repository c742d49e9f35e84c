// SPDX-License-Identifier: Apache-2.0

import { withCapabilities } from '#config/capabilities.ts'
import { type Choice, capabilitiesOf, chooseDatapath } from '#config/datapath-choice.ts'
import { parseSwitch } from '#config/datapath-switch.ts'
import { unnamedFamilies } from '#config/service-cidr.ts'
import { Complaint } from '#daemon/complaint.ts'
import type { Context } from '#daemon/context.ts'
import {
  choiceInputs,
  mountedConflist,
  nodeDatapathOf,
  parseRemembered,
  type Remembered,
  readCapabilities,
} from '#daemon/datapath-inputs.ts'
import { missingForV2 } from '#daemon/datapath-support.ts'
import { tellNode } from '#daemon/node-event.ts'
import { isHeldHere, type Repair } from '#daemon/repair.ts'
import { Signal } from '#daemon/signal.ts'
import { AppError, messageOf } from '#lib/errors.ts'
import type { Family } from '#net/ip.ts'

/** Milliseconds between two looks at the files: somebody who wrote one is waiting. */
const period = 2_000
/** How long after a switch that failed the next attempt is made. */
const pause = 60_000

/** What the node is to be, before anybody asked the kernel. */
interface Wanted {
  readonly choice: Choice
  readonly goal: Remembered
  /** Text of the file that a person's wish is in. */
  readonly switched: string
  readonly policyProvider: string
  readonly ipv6: boolean
  /** Families of pods of which no network of Services is known. */
  readonly unnamed: readonly Family[]
}

/**
 * Keeps the node forwarding as it was chosen: by a person on the node, its label or the configuration (`chooseDatapath`). A choice that the kernel
 * cannot serve leaves the node in regular mode, and a switch that fails leaves it as it was; an Event says why. What was chosen is
 * remembered until a reboot, so that a restart changes nothing and waits for nobody.
 */
export class NodeDatapathKeeper {
  /** Fires after the node's datapath, or only its reason, has become another. */
  readonly changed = new Signal()
  readonly #ctx: Context
  readonly #repair: Repair
  readonly #complaint: Complaint
  /** What the engine was told; undefined before the first time in this process. */
  #present: Remembered | undefined
  /** The last one, this process's or the one's before. */
  #last: Remembered | undefined
  /** The wanted state that has been dealt with, as text. */
  #settled = ''
  /** The failure that was told last: it is tried again each minute. */
  #failure = ''
  #again = false
  #running: Promise<void> | undefined
  #stopped = false
  #cancelTimer = () => {}
  #cancelRetry = () => {}
  #offChanged = () => {}

  constructor(ctx: Context, repair: Repair) {
    this.#ctx = ctx
    this.#repair = repair
    this.#complaint = new Complaint(ctx, 'choice of the datapath')
  }

  /** Takes up what a predecessor in this boot did, without asking anybody, unless a person has switched it off since. Never rejects. */
  async restore(): Promise<void> {
    const { host, options, datapath, facts, log, observer } = this.#ctx
    this.#last = parseRemembered(host.read(options.datapathMemoryPath))
    const said = parseSwitch(host.read(options.switchPath))
    if (this.#last?.kind !== 'v2' || said?.off === true || said?.kind === 'veth') return
    try {
      await datapath.setNode(nodeDatapathOf(this.#last, false), this.#held())
      this.#present = this.#last
      facts.datapath = { kind: 'v2', why: this.#last.why }
      facts.trace.set('datapath', `v2: ${this.#last.why}`)
      observer.datapath('v2')
    } catch (err) {
      log.error({ err }, 'the programs of the process before cannot be taken up; they are loaded when the datapath is chosen')
    }
  }

  /** Resolves when the node forwards as chosen, or when it was told why nothing can be chosen; follows changes from then on. */
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
        const wanted = this.#wanted()
        if (wanted === undefined) continue
        const key = JSON.stringify([wanted.goal, wanted.unnamed])
        if (key !== this.#settled) await this.#become(wanted)
        this.#settled = key
        // Who wrote the file waits for this.
        this.#ctx.facts.trace.set('datapath_switch', wanted.switched)
      } catch (err) {
        this.#ctx.log.error({ err }, `the datapath cannot be chosen: ${messageOf(err)}`)
      }
    }
  }
  /** Undefined while nothing can be chosen; what cannot be taken has been told. */
  #wanted(): Wanted | undefined {
    const { host, options, cluster, facts } = this.#ctx
    const { conf } = facts
    const list = this.#list()
    if (conf === undefined || list === undefined) return undefined
    const { capabilities } = readCapabilities(host, options.capabilitiesPath)
    const inputs = choiceInputs(host, options, cluster.k8sNode, list, capabilities)
    const choice = chooseDatapath(inputs)
    if ('refused' in choice) {
      this.#complaint.tell(
        new AppError('bad-config', choice.refused),
        facts.datapath === undefined ? 'and there is no earlier one' : 'the last one stays',
      )
      return undefined
    }
    this.#complaint.settled()
    const serviceCidrs = [conf.serviceCidr4, conf.serviceCidr6].filter(c => c !== undefined)
    const goal = { kind: choice.datapath, by: choice.by, why: choice.why, hostStackCidrs: list.settings.hostStackCidrs, serviceCidrs }
    const { policyProvider } = list.settings
    const unnamed = unnamedFamilies(conf, conf.ipStack)
    return { choice, goal, switched: inputs.switched?.trim() ?? '', policyProvider, ipv6: conf.ipStack !== 'ipv4', unnamed }
  }

  /** One that is refused is told by whoever writes the runtime's list. */
  #list() {
    try {
      return mountedConflist(this.#ctx.host, this.#ctx.options)
    } catch {
      return undefined
    }
  }

  async #become(wanted: Wanted): Promise<void> {
    const { goal } = wanted
    this.#cancelRetry()
    const missing = goal.kind === 'v2' ? missingForV2(await this.#ctx.programs.probe(), wanted.unnamed) : []
    if (missing.length > 0) return this.#unsupported(wanted, missing.join('; '))
    try {
      await this.#tell(goal)
    } catch (err) {
      this.#retryLater()
      if (this.#present === undefined) return this.#unsupported(wanted, messageOf(err))
      return this.#failed(goal, err)
    }
    this.#done(wanted, goal)
  }

  /** Gives the goal to the engine, unless it has it. What the pods' kernel lacks then is the switch's own doing, and is not told. */
  async #tell(goal: Remembered): Promise<void> {
    const { datapath } = this.#ctx
    const [present, held] = [this.#present, this.#held()]
    if (present !== undefined && sameNode(present, goal)) return
    const learn = goal.kind === 'v2' && this.#last?.kind !== 'v2' && held.length > 0
    await this.#repair.quietly(() => datapath.setNode(nodeDatapathOf(goal, learn), held))
    this.#present = goal
  }

  async #unsupported(wanted: Wanted, missing: string): Promise<void> {
    const why = `${wanted.choice.why}, but ${missing}`
    const goal: Remembered = { ...wanted.goal, kind: 'veth', by: 'probe', why }
    try {
      await this.#tell(goal)
    } catch (err) {
      this.#retryLater()
      return this.#failed(goal, err)
    }
    this.#event(
      'Warning',
      'DataPathUnsupported',
      `DataPath V2 is asked for (${wanted.choice.why}), the node stays in regular mode: ${missing}`,
    )
    this.#done(wanted, goal)
  }

  #failed(goal: Remembered, err: unknown): void {
    const { facts, log } = this.#ctx
    const text = `the switch to ${goal.kind} (${goal.why}) failed, the node stays as it was: ${messageOf(err)}`
    facts.trace.set('datapath', `${this.#present?.kind ?? 'veth'}: ${text}`)
    if (text === this.#failure) return
    this.#failure = text
    log.error({ err }, text)
    this.#event('Warning', 'DataPathSwitchFailed', text)
  }

  #done(wanted: Wanted, goal: Remembered): void {
    const { facts, log, observer } = this.#ctx
    const before = this.#last
    this.#last = goal
    this.#present = goal
    this.#failure = ''
    facts.datapath = { kind: goal.kind, why: goal.why }
    facts.trace.set('datapath', `${goal.kind}: ${goal.why}`)
    observer.datapath(goal.kind)
    this.#write(wanted, goal)
    this.changed.fire()
    if (before?.kind === goal.kind && before.why === goal.why) return
    log.info({ datapath: goal.kind, why: goal.why }, 'the datapath was chosen')
    const pods = this.#held().length
    if (before !== undefined && before.kind !== goal.kind)
      this.#event('Normal', 'DataPathSwitched', `from ${before.kind} to ${goal.kind} with ${pods} pods: ${goal.why}`)
    this.#event('Normal', 'DataPathSelected', `${goal.kind}: ${goal.why}`)
  }

  /** For the next start, and for a generator of Terway's. Without them a restart only asks more. */
  #write(wanted: Wanted, goal: Remembered): void {
    const { host, options, log } = this.#ctx
    const { text, wrong } = readCapabilities(host, options.capabilitiesPath)
    if (wrong !== undefined) this.#event('Warning', 'ParseFailed', wrong)
    const choice = { datapath: goal.kind, by: goal.by, why: goal.why }
    const capabilities = withCapabilities(text, capabilitiesOf(choice, wanted.policyProvider, wanted.ipv6))
    for (const [path, wish] of [
      [options.capabilitiesPath, capabilities],
      [options.datapathMemoryPath, `${JSON.stringify(goal)}\n`],
    ] as const) {
      try {
        if (host.read(path) !== wish) host.writeAtomically(path, wish)
      } catch (err) {
        log.warn({ err, path }, 'what was chosen cannot be written down')
      }
    }
  }

  #retryLater(): void {
    this.#cancelRetry = this.#ctx.clock.after(pause, () => {
      this.#settled = ''
      this.poke()
    })
  }

  #event(type: 'Normal' | 'Warning', reason: string, message: string): void {
    if (type === 'Warning') this.#ctx.log.warn({ reason }, message)
    tellNode(this.#ctx, { type, reason, message, action: 'DataPath' })
  }

  #held() {
    return this.#ctx.book
      .leases()
      .filter(isHeldHere)
      .map(l => l.attachment)
  }
}

/** The engine would be told the same. */
function sameNode(a: Remembered, b: Remembered): boolean {
  const told = (r: Remembered) => JSON.stringify(nodeDatapathOf(r, false))
  return told(a) === told(b)
}
