// SPDX-License-Identifier: Apache-2.0
import { withCapabilities } from '#config/capabilities.ts'
import { capabilitiesOf } from '#config/datapath-choice.ts'
import { modeCapability } from '#config/eni-mode.ts'
import { algorithmCapability, kubeProxyCapability } from '#config/kube-proxy.ts'
import type { Context } from '#daemon/context.ts'
import { readCapabilities } from '#daemon/datapath-inputs.ts'
import { type DatapathGoal, formatRemembered, hasPrograms, parseRemembered } from '#daemon/datapath-memory.ts'
import type { ChosenUnder } from '#daemon/datapath-wish.ts'
import { tellNode } from '#daemon/node-event.ts'
import { isHeldHere } from '#daemon/repair.ts'
import { messageOf } from '#lib/errors.ts'

/**
 * What people, the other parts of the daemon and the next process are told of the node's datapath: each thing once. A switch to programs is
 * remembered before it begins, one from them after it has ended, so that a process that is killed in it leaves nothing that the next one does not take up.
 */
export class DatapathRecord {
  readonly #ctx: Context
  #last: DatapathGoal | undefined
  /** The failure that was told last: it is tried again each minute. */
  #failure = ''

  constructor(ctx: Context) {
    this.#ctx = ctx
  }

  /** The last goal that the node reached, in this process or in the one before. */
  get last(): DatapathGoal | undefined {
    return this.#last
  }

  /** What the process before was told to reach. */
  recall(): DatapathGoal | undefined {
    const { host, options } = this.#ctx
    const remembered = parseRemembered(host.read(options.datapathMemoryPath))
    if (remembered === undefined) return undefined
    const { goal, from } = remembered
    // It was not told of the switch any more.
    this.#last = from === undefined ? goal : { ...goal, kind: from, why: '' }
    return goal
  }

  /** A predecessor's goal is taken up: nothing is told again. */
  restored(goal: DatapathGoal): void {
    const { facts, observer } = this.#ctx
    facts.datapath = { kind: goal.kind, why: goal.why, hasPrograms: hasPrograms(goal) }
    facts.trace.set('datapath', inWords(goal))
    facts.trace.set('services', goal.services === undefined ? 'kube-proxy' : 'programs')
    observer.datapath(goal.off ? 'veth' : goal.kind)
  }

  begun(goal: DatapathGoal): void {
    if (hasPrograms(goal)) this.#write(this.#ctx.options.datapathMemoryPath, formatRemembered({ goal, from: this.#last?.kind ?? 'veth' }))
  }

  /** `settings` are those under which it was chosen; undefined for a goal that stays since nothing can be chosen. */
  reached(goal: DatapathGoal, settings: ChosenUnder | undefined): void {
    const before = this.#last
    this.#last = goal
    this.#failure = ''
    this.restored(goal)
    if (settings !== undefined) this.#writeCapabilities(goal, settings)
    this.#write(this.#ctx.options.datapathMemoryPath, formatRemembered({ goal }))
    this.#tellChange(before, goal)
  }

  failed(goal: DatapathGoal, present: DatapathGoal | undefined, err: unknown): void {
    const { facts, log, options } = this.#ctx
    if (this.#last !== undefined) this.#write(options.datapathMemoryPath, formatRemembered({ goal: this.#last }))
    const what = goal.off ? 'switching the programs off' : `the switch to ${goal.kind} (${goal.why})`
    const text = `${what} failed, the node stays as it was: ${messageOf(err)}`
    facts.trace.set('datapath', `${present?.kind ?? 'veth'}: ${text}`)
    if (text === this.#failure) return
    this.#failure = text
    log.error({ err }, text)
    this.#event('Warning', 'DataPathSwitchFailed', `${text} (it is tried again each minute)`)
  }

  unsupported(asked: DatapathGoal, missing: string): void {
    const what = asked.kind === 'v2' ? `DataPath V2 is asked for (${asked.why})` : 'Services without kube-proxy are asked for'
    const instead = asked.services === undefined ? 'stays in regular mode' : 'stays in regular mode and needs kube-proxy'
    this.#event('Warning', 'DataPathUnsupported', `${what}, the node ${instead}: ${missing}`)
  }

  /** Pods and clients outside reach Services all the same: what pods with an ENI each send to one goes by their node then. */
  limited(missing: string): void {
    const what = "processes on the node's own network cannot reach Services without kube-proxy, pods can"
    this.#event('Warning', 'ServicesLimited', `${what}: ${missing}`)
  }

  #tellChange(before: DatapathGoal | undefined, goal: DatapathGoal): void {
    const { log, book } = this.#ctx
    const [isOther, isNew] = [before?.kind !== goal.kind, before?.kind !== goal.kind || before.why !== goal.why]
    if (before !== undefined && isOther) {
      const pods = book.leases().filter(isHeldHere).length
      this.#event('Normal', 'DataPathSwitched', `from ${before.kind} to ${goal.kind} with ${pods} pods: ${goal.why}`)
    }
    if (isNew) {
      log.info({ datapath: goal.kind, why: goal.why }, 'the datapath was chosen')
      this.#event('Normal', 'DataPathSelected', inWords(goal))
    }
    this.#tellServices(before, goal)
    if (goal.kind !== 'v2' || goal.off === (before?.off ?? false)) return
    log.info({ off: goal.off }, 'the programs were switched off or on')
    if (goal.off) this.#event('Normal', 'DataPathOff', 'the host stack carries everything until terway-cli datapath on')
    else this.#event('Normal', 'DataPathOn', 'packets go past the host stack again')
  }

  #tellServices(before: DatapathGoal | undefined, { services }: DatapathGoal): void {
    const lost = services === undefined && (before === undefined || before.services !== undefined)
    if (lost && this.#ctx.facts.eniMode === 'exclusive') {
      const words = 'pods of this node send by ENIs of their own, past kube-proxy, and reach no Services'
      this.#event('Warning', 'ServicesLimited', `${words} (exclusive_services in eni_conf lets programs translate for them)`)
    }
    if ((before?.services === undefined) === (services === undefined)) return
    const words = services === undefined ? 'kube-proxy translates Services again' : 'programs translate Services, as soon as all are known'
    this.#ctx.log.info({ services }, words)
    this.#event('Normal', 'DataPathServices', words)
  }

  /** For a generator of Terway's, for terway-policy, and for the next process. What the kernel cannot do is no decision on Services. */
  #writeCapabilities(goal: DatapathGoal, { policyProvider, ipv6, serviceAlgorithm }: ChosenUnder): void {
    const { host, options, facts } = this.#ctx
    const { text, capabilities, wrong } = readCapabilities(host, options.capabilitiesPath)
    if (wrong !== undefined) this.#event('Warning', 'ParseFailed', wrong)
    const choice = { datapath: goal.kind, by: goal.by, why: goal.why }
    const services = goal.by === 'probe' ? {} : kubeProxyCapability(goal.services !== undefined, capabilities)
    const algorithm = algorithmCapability(serviceAlgorithm, capabilities)
    const mode = facts.eniMode === 'unknown' ? {} : modeCapability(facts.eniMode)
    const values = { ...capabilitiesOf(choice, policyProvider, ipv6), ...mode, ...services, ...algorithm }
    this.#write(options.capabilitiesPath, withCapabilities(text, values))
  }

  /** Without what is written a restart only asks more. */
  #write(path: string, wish: string): void {
    const { host, log } = this.#ctx
    try {
      if (host.read(path) !== wish) host.writeAtomically(path, wish)
    } catch (err) {
      log.warn({ err, path }, 'what was chosen cannot be written down')
    }
  }

  #event(type: 'Normal' | 'Warning', reason: string, message: string): void {
    if (type === 'Warning') this.#ctx.log.warn({ reason }, message)
    tellNode(this.#ctx, { type, reason, message, action: 'DataPath' })
  }
}

function inWords({ kind, off, why }: DatapathGoal): string {
  return `${kind}${off ? ' (off)' : ''}: ${why}`
}
