// SPDX-License-Identifier: Apache-2.0
import { isOf } from '#cloud/errors.ts'
import type { ClusterView } from '#controller/cluster-view.ts'
import type { ControllerDeps, ControllerOptions } from '#controller/deps.ts'
import { bindCentrally } from '#controller/eni/bind.ts'
import { bindable, countWarmUp, demandOf, needsAddress, nextReclaim, startWarmUp, waitingPods } from '#controller/eni/demand.ts'
import {
  aboutNode,
  arrivalEvent,
  detachedEvent,
  eventOf,
  explain,
  lostEvent,
  nonsenseEvent,
  noteErrors,
  shortageOf,
  stuckEvent,
} from '#controller/eni/events.ts'
import { Memory } from '#controller/eni/memory.ts'
import { mirror } from '#controller/eni/mirror.ts'
import { type Arrival, attachLimit, isMoving, Moves } from '#controller/eni/moves.ts'
import { NodeRecord } from '#controller/eni/node-record.ts'
import { look } from '#controller/eni/observe.ts'
import { attachKey, perform } from '#controller/eni/perform.ts'
import { fold, type Outcome } from '#controller/eni/record.ts'
import { Resting } from '#controller/eni/resting.ts'
import { nicsOf } from '#controller/eni/status.ts'
import { isAddress } from '#controller/eni/sync.ts'
import { answerLines, callLines, decisionLines, type Line, textOf } from '#controller/eni/tell.ts'
import type { UsualTimes } from '#controller/eni/usual.ts'
import { exhaustion, NodeCondition } from '#controller/node/condition.ts'
import { modeNotice, unboundNotice } from '#controller/node/mode.ts'
import { quotaNotice } from '#controller/node/quota.ts'
import type { Round } from '#controller/queue.ts'
import type { VSwitchCache } from '#controller/vswitch/cache.ts'
import { selectVSwitches, vSwitchFaults } from '#controller/vswitch/select.ts'
import type { CloudAction, Plan, PlanInput } from '#ipam/action.ts'
import { type Agreed, awaitsAnswer, type Binding, isLost, type Pool } from '#ipam/pool.ts'
import { localBindingAnnotation, localBindingVersion } from '#ipam/release.ts'
import { isGrowing } from '#ipam/surplus.ts'
import { eniModeOf, type Nic, type NodeCr, type NodeStatus } from '#kube/crd/node.ts'
import type { NodeRuntime } from '#kube/crd/node-runtime.ts'
import { parseDuration } from '#lib/duration.ts'
import { diffMerge } from '#lib/merge-patch.ts'
import { stackOf } from '#net/stack.ts'

/** The mirror of bindings alone is worth one write a second and node. */
const mirrorInterval = 1_000
/** Before an unassign without a verdict is looked at again. */
const unassignPoll = 3_000
/** Before an intent without verdict is asked for again, and before demand that could not be met is looked at again. */
const retryIntent = 2_000
const retryUnmet = 10_000
/** Giving back is put off while its API has no budget: pods come first, also in the length of a round. */
const patience = 2_000
/** An address that the daemon keeps barred although it is Valid again is offered anew after this time. */
const barredTooLong = 15_000

export interface RoundContext {
  readonly deps: ControllerDeps
  readonly options: ControllerOptions
  readonly view: ClusterView
  readonly vSwitches: VSwitchCache
  readonly usual: UsualTimes
  readonly assertLeader: () => void
}

interface VSwitches extends Pick<PlanInput, 'vSwitches' | 'formerVSwitches'> {
  readonly faults: readonly string[]
}

/** What a round came to, as far as the time of the next one depends on it. */
interface Done {
  readonly plan: Plan
  readonly outcomes: readonly Outcome[]
  readonly mirrorIn: number | undefined
  readonly putOff: boolean
  readonly agreed: Agreed
}

/** One node's rounds: observe, decide, record, call, record. Never two at once (the queue sees to that). */
export class NodeRounds {
  readonly name: string
  readonly record: NodeRecord
  readonly memory: Memory
  readonly #c: RoundContext
  readonly #moves: Moves
  readonly #resting = new Resting()
  readonly #barredSince = new Map<string, number>()
  readonly #toldStuck = new Set<string>()
  #writtenAt = Number.NEGATIVE_INFINITY
  /** The first pool adjustment is a whole period after the start: by then what a predecessor began is known. */
  #adjustAt: number | undefined
  #growAt = Number.NEGATIVE_INFINITY
  #growFailures = 0
  #generation: number | undefined
  #told = ''
  readonly #toldConfig = new Map<string, string>()
  /** For what changed since the last round. */
  #poolBefore: Pool | undefined
  readonly #condition: NodeCondition
  #syncAt = Number.POSITIVE_INFINITY

  constructor(name: string, context: RoundContext) {
    const { deps, options } = context
    this.name = name
    this.#c = context
    this.record = new NodeRecord(deps.kube, name)
    this.memory = new Memory(deps.clock.now(), options.windows)
    this.#condition = new NodeCondition(deps, name)
    this.#moves = new Moves(context.usual)
  }

  async run(node: NodeCr): Promise<Round> {
    const { deps, view } = this.#c
    const binding = await this.#binding(node)
    const runtime = view.runtime(this.name)
    const pods = view.podsOn(this.name)
    const agreed = { binding, runtime }
    const mode = eniModeOf(node)
    const isDue = (nic: Nic) => !awaitsAnswer(nic, agreed) && this.#moves.isDue(nic, deps.clock.now())
    const looked = await look(
      this.#c,
      node,
      isDue,
      this.memory,
      this.#syncDue(
        node,
        pods.some(pod => needsAddress(pod, mode)),
      ),
    )
    if (looked.synced && looked.begun >= this.#syncAt) this.#syncAt = Number.POSITIVE_INFINITY
    const { vSwitches, formerVSwitches, faults } = await this.#vSwitches(node, looked.status)
    const started = startWarmUp(looked.status, node.spec.pool?.warmUpSize)
    const bindings = pods.filter(pod => needsAddress(pod, mode)).map(bindable)
    // Where pods have an ENI each only a daemon that binds by itself is served.
    const unbound = binding === 'central' && mode === 'exclusive'
    const bound = binding === 'central' && !unbound ? bindCentrally(started, bindings, runtime, stackOf(node.spec.eni)) : started
    const observed: NodeCr = { ...node, status: bound }
    const podUids = new Set(pods.flatMap(p => p.metadata.uid ?? []))
    const arrivals = this.#moves.follow(nicsOf(bound), looked, deps.clock.now())
    const late = this.#moves.late(deps.clock.now())
    const seen = this.#moves.withAssumed(looked.seen, deps.clock.now())
    const known = deps.decisions.poolOf({ node: observed, runtime, binding, podUids, seen, late })
    const pool = this.#resting.follow(known, deps.clock.now())
    this.#tellOfEnis(node, bound, pool, arrivals)
    this.#log(answerLines(this.#poolBefore, pool))
    this.#poolBefore = pool
    this.#adjustAt ??= deps.clock.now() + this.#adjustPeriod(node)
    const adjust = deps.clock.now() >= this.#adjustAt
    const waiting = unbound ? 0 : waitingPods(pods, bound, runtime, mode)
    const demand = demandOf(observed, pool, waiting, { adjust, now: deps.clock.wall() })
    const decided = deps.decisions.plan({ pool, demand, vSwitches, formerVSwitches })
    const reasons = [...decided.reasons, ...faults, ...(unbound && runtime !== undefined ? [unboundNotice(this.name)] : [])]
    const plan = this.#withoutPausedGrowth({ ...decided, reasons, actions: [...decided.actions, ...this.#unbar(pool)] }, node)
    this.#tell(reasons.join('; '), shortageOf(plan))
    this.#tellConfig('DualStackLimited', quotaNotice(node.spec, mode))
    this.#tellConfig('EniModeRefused', modeNotice(view.node(this.name), node))
    // While something is on its way, or rests, it is not marked: the adjustment stays due, instead of being put off by a whole period.
    const putOff = adjust && (isGrowing(pool) || plan.actions.some(isGrowth) || pool.enis.some(e => e.resting))
    if (adjust && !putOff) this.#adjusted(node)
    const reclaimed = demand.reclaimExtra > 0 && plan.actions.some(a => a.do === 'mark-release')
    const status = this.#recorded(bound, plan, reclaimed ? nextReclaim(observed, deps.clock.wall(), deps.clock.random()) : undefined)
    const mirrorIn = await this.#write(status, runtime, binding)
    this.#log(decisionLines(plan.actions))
    const outcomes = await this.#perform(plan.actions)
    this.#log(callLines(outcomes))
    await this.#fold(outcomes)
    this.#c.assertLeader()
    await this.#condition.tell(view.node(this.name), exhaustion({ pool, vSwitches, formerVSwitches }))
    this.#forget()
    return { again: this.#again({ plan, outcomes, mirrorIn, putOff, agreed }) }
  }

  /** Compares with the cloud soon. */
  sync(): void {
    this.#syncAt = Math.min(this.#syncAt, this.#c.deps.clock.now() + this.#c.options.minFailureDelay)
  }

  /** Follows the daemon's announcement. Bindings of the controller end before the answer is written, so the daemon sees all of them. */
  async #binding(node: NodeCr): Promise<Binding> {
    const runtime = this.#c.view.runtime(this.name)
    const answered = node.metadata.annotations?.[localBindingAnnotation] === localBindingVersion
    // Without a report nothing new is known of the daemon. It may be cut off from the API server, and bind: what was agreed holds.
    if (runtime === undefined) return answered ? 'local' : 'central'
    const announced = runtime.metadata.annotations?.[localBindingAnnotation] === localBindingVersion
    if (announced !== answered) {
      this.#c.assertLeader()
      await this.record.patchMetadata({ annotations: { [localBindingAnnotation]: announced ? localBindingVersion : null } })
    }
    return announced ? 'local' : 'central'
  }

  #syncDue(node: NodeCr, needed: boolean): boolean {
    const { clock } = this.#c.deps
    const next = Date.parse(node.status?.nextSyncOpenAPITime ?? '')
    // Later than any that could have been set now: the clock was ahead then.
    const nonsense = next > clock.wall() + 2 * this.#c.options.syncPeriod
    if (Number.isNaN(next) || nonsense || clock.wall() >= next || clock.now() >= this.#syncAt) return true
    const empty = Object.keys(node.status?.networkInterfaces ?? {}).length + Object.keys(node.status?.intents ?? {}).length === 0
    return needed && empty && this.memory.mayTry('sync/empty', clock.now(), this.#c.options.windows.lag)
  }

  async #vSwitches(node: NodeCr, status: NodeStatus): Promise<VSwitches> {
    const { clock } = this.#c.deps
    const ids = node.spec.eni?.vSwitchOptions ?? []
    const used = nicsOf(status).flatMap(n => (n.unschedulable === true || n.vSwitchID === undefined ? [] : [n.vSwitchID]))
    const known = await this.#c.vSwitches.get([...new Set([...ids, ...used])])
    const policy = node.spec.eni?.vSwitchSelectPolicy ?? 'random'
    const zone = node.spec.nodeMetadata?.zoneID ?? ''
    return {
      vSwitches: selectVSwitches(ids, known, zone, policy, () => clock.random()),
      formerVSwitches: known.filter(v => !ids.includes(v.id)),
      faults: vSwitchFaults(this.name, ids, known, zone, stackOf(node.spec.eni)),
    }
  }

  /** Events about ENIs that have arrived, are lost or stuck, once each. */
  #tellOfEnis(before: NodeCr, status: NodeStatus, pool: Pool, arrivals: readonly Arrival[]): void {
    const { deps, view } = this.#c
    const about = aboutNode(view.node(this.name), this.name)
    for (const a of arrivals) deps.kube.event({ about, ...arrivalEvent(a) })
    for (const nic of nicsOf(status)) {
      const old = before.status?.networkInterfaces?.[nic.id]
      const nonsense = Object.values({ ...old?.ipv4, ...old?.ipv6 }).filter(a => !isAddress(a) && nic.ipv4?.[a.ip] === undefined)
      for (const { ip } of nonsense) deps.kube.event({ about, ...nonsenseEvent(this.name, nic, ip) })
      if (isLost(nic) && old !== undefined && !isLost(old)) deps.kube.event({ about, ...lostEvent(nic) })
      else if (nic.status === 'Available' && old?.status === 'InUse') deps.kube.event({ about, ...detachedEvent(nic) })
    }
    for (const { id, stuck } of pool.enis) {
      if (!stuck) this.#toldStuck.delete(id)
      else if (!this.#toldStuck.has(id)) {
        this.#toldStuck.add(id)
        deps.kube.event({ about, ...stuckEvent(id, attachLimit) })
      }
    }
  }

  /** Each step of giving back, so that the log tells where a shrinking pool spends its time. */
  #log(lines: readonly Line[]): void {
    for (const line of lines) this.#c.deps.log.info({ node: this.name, ...line }, textOf(line))
  }

  /** An event on the node when the reasons for a shortage, or faults of its configuration, become others. */
  #tell(reasons: string, shortage: string | undefined): void {
    if (reasons === this.#told) return
    this.#told = reasons
    if (reasons === '') return
    const { deps, view } = this.#c
    const about = aboutNode(view.node(this.name), this.name)
    deps.log.warn({ node: this.name }, shortage ?? reasons)
    deps.kube.event({ about, type: 'Warning', reason: 'AllocIPFailed', action: 'AllocIP', message: shortage ?? reasons })
  }

  /** An event on the node about what its configuration costs or asks for in vain, once. */
  #tellConfig(reason: string, message: string | undefined): void {
    if (message === undefined || message === this.#toldConfig.get(reason)) return
    this.#toldConfig.set(reason, message)
    const { deps, view } = this.#c
    const about = aboutNode(view.node(this.name), this.name)
    deps.log.warn({ node: this.name }, message)
    deps.kube.event({ about, type: 'Warning', reason, action: 'Config', message })
  }

  /** After a refusal that another call would only repeat (quota, permission), growth rests: 1 s, 2 s, 4 s …, or until the spec changes. */
  #withoutPausedGrowth(plan: Plan, node: NodeCr): Plan {
    if (node.metadata.generation !== this.#generation) {
      this.#generation = node.metadata.generation
      this.#growAt = Number.NEGATIVE_INFINITY
      this.#growFailures = 0
    }
    if (this.#c.deps.clock.now() >= this.#growAt) return plan
    return { ...plan, actions: plan.actions.filter(a => !isGrowth(a)) }
  }

  /**
   * The daemon drops a bar when it sees the address absent. When it missed that moment, the address is taken out of the record
   * and found again by the next comparison.
   */
  #unbar(pool: Pool): readonly CloudAction[] {
    const now = this.#c.deps.clock.now()
    const barred = pool.enis.flatMap(e =>
      e.addresses.filter(a => a.state === 'barred').map(a => ({ eniId: e.id, ip: a.ip, key: `${e.id}/${a.ip}` })),
    )
    const keys = new Set(barred.map(b => b.key))
    for (const key of this.#barredSince.keys()) if (!keys.has(key)) this.#barredSince.delete(key)
    for (const { key } of barred) if (!this.#barredSince.has(key)) this.#barredSince.set(key, now)
    return barred
      .filter(b => now - (this.#barredSince.get(b.key) ?? now) >= barredTooLong)
      .map(b => ({ do: 'forget-addresses', eniId: b.eniId, addresses: [b.ip] }))
  }

  #adjusted(node: NodeCr): void {
    this.#adjustAt = this.#c.deps.clock.now() + this.#adjustPeriod(node)
    this.#c.deps.observer.adjusted(this.name)
  }

  #adjustPeriod(node: NodeCr): number {
    const period = node.spec.pool?.poolSyncPeriod
    return period === undefined || period === '' ? this.#c.options.adjustPeriod : parseDuration(period)
  }

  #recorded(status: NodeStatus, plan: Plan, reclaimAt: string | undefined): NodeStatus {
    const { clock, decisions } = this.#c.deps
    const at = new Date(clock.wall()).toISOString()
    for (const a of plan.actions) {
      if (a.do === 'mark-release') for (const ip of a.addresses) this.memory.born(`${a.eniId}/${ip}`)
      if (a.do === 'settle') {
        this.#growFailures = 0
        this.memory.attached(a.eniId, clock.now())
        this.#attached(a.eniId, 'success')
      }
      if (a.do === 'forget-addresses') this.#syncSoon(a.addresses.map(ip => `${a.eniId}/${ip}`))
    }
    const uuid = () => {
      const fresh = clock.uuid()
      this.memory.born(fresh)
      return fresh
    }
    const next = explain(decisions.record(status, plan.actions, { uuid, at }), plan, at)
    return reclaimAt === undefined ? next : { ...next, nextIdleIPReclaimTime: reclaimAt }
  }

  /** What is forgotten but still assigned is found by the comparison after the next lag window. */
  #syncSoon(keys: readonly string[]): void {
    const { clock } = this.#c.deps
    for (const key of keys) this.memory.removed(key, clock.now())
    this.#syncAt = clock.now() + this.#c.options.windows.lag
  }

  #attached(eniId: string, result: 'success' | 'failure'): void {
    const since = this.#moves.since(eniId)
    if (since !== undefined) this.#c.deps.observer.attached(result, 'Secondary', this.#c.deps.clock.now() - since)
  }

  /** What the memory need not hold any more. */
  #forget(): void {
    const { networkInterfaces = {}, intents = {} } = this.record.copy?.status ?? {}
    const addresses = Object.values(networkInterfaces).flatMap(n => Object.keys({ ...n.ipv4, ...n.ipv6 }).map(ip => `${n.id}/${ip}`))
    const inUse = new Set([...Object.keys(intents), ...addresses])
    this.memory.prune(this.#c.deps.clock.now(), key => inUse.has(key))
    this.#c.deps.observer.attaching(this.name, this.#moves.attachments)
  }

  /** Writes what must be recorded before the calls. A change of the mirror alone may wait: answers how long. */
  async #write(status: NodeStatus, runtime: NodeRuntime | undefined, binding: Binding): Promise<number | undefined> {
    const mirrored = binding === 'local' ? mirror(status, runtime) : status
    const rest = this.#writtenAt + mirrorInterval - this.#c.deps.clock.now()
    const urgent = diffMerge(this.record.copy?.status ?? {}, status) !== undefined
    if (!urgent && rest > 0) return diffMerge(status, mirrored) === undefined ? undefined : rest
    await this.#put(mirrored)
    return undefined
  }

  async #put(status: NodeStatus): Promise<void> {
    if (diffMerge(this.record.copy?.status ?? {}, status) === undefined) return
    const { clock } = this.#c.deps
    this.#c.assertLeader()
    await this.record.write({ ...status, lastModifiedTime: new Date(clock.wall()).toISOString() })
    this.#writtenAt = clock.now()
  }

  async #perform(actions: readonly CloudAction[]): Promise<readonly Outcome[]> {
    const { deps, options, vSwitches, assertLeader } = this.#c
    const node = this.record.copy
    if (node === undefined) return []
    const intents = Object.values(node.status?.intents ?? {}).filter(i =>
      this.memory.mayTry(`intent/${i.token}`, deps.clock.now(), retryIntent),
    )
    const isAffordable = (a: CloudAction) => apisOf(a).every(api => deps.throttle.expectedWait(api, 'reclaim') <= patience)
    const affordable = actions.filter(a => !isRelease(a) || isAffordable(a))
    if (affordable.some(isRelease)) await this.record.verify()
    const work = {
      node,
      clusterId: options.clusterId,
      cloudFor: deps.cloudFor,
      vSwitches,
      memory: this.memory,
      clock: deps.clock,
      assertLeader,
    }
    return perform(work, intents, affordable)
  }

  async #fold(outcomes: readonly Outcome[]): Promise<void> {
    const node = this.record.copy
    if (node === undefined || outcomes.length === 0) return
    const { deps, view } = this.#c
    const at = new Date(deps.clock.wall()).toISOString()
    const before = node.status ?? {}
    const additions = outcomes.filter(o => o.was === 'created' || o.was === 'assigned')
    const grown = fold(before, additions, node.spec)
    const counted = countWarmUp(fold(before, outcomes, node.spec), before, grown, stackOf(node.spec.eni))
    await this.#put(noteErrors(counted, outcomes, at))
    for (const o of outcomes) {
      this.#learn(o)
      const event = eventOf(o)
      if (event !== undefined) deps.kube.event({ about: aboutNode(view.node(this.name), this.name), ...event })
    }
  }

  #learn(o: Outcome): void {
    const { deps, options } = this.#c
    // A created ENI that cannot be attached is no progress.
    if (o.was === 'assigned' && o.error === undefined) this.#growFailures = 0
    if (o.was === 'unattachable') this.#attached(o.eniId, 'failure')
    if (o.was === 'created') this.#moves.created(o.eni.id, deps.clock.now())
    if (o.was === 'moving' && o.action === 'AttachENI') {
      const how = this.#moves.attaching(o.eniId, deps.clock.now(), o.refused === true)
      if (how === 'early') this.memory.untried(attachKey(o.eniId))
    }
    // The daemon needs its CIDR.
    if (o.was === 'created' && o.vSwitch === undefined) this.sync()
    const error = 'error' in o ? o.error : undefined
    if (error === undefined) return
    deps.log.warn({ node: this.name, outcome: o.was, code: error.code, class: error.class, requestId: error.requestId }, error.message)
    // The cloud's count differs from ours: look before asking again.
    if (isOf(error, 'quota', 'gone', 'conflict')) this.sync()
    if (o.was !== 'refused' && o.was !== 'assigned' && o.was !== 'unattachable') return
    if (isOf(error, 'no-addresses')) return
    this.#growAt = deps.clock.now() + Math.min(options.maxFailureDelay, options.minFailureDelay * 2 ** this.#growFailures)
    this.#growFailures += 1
  }

  /** Milliseconds until the node must be looked at again without an event. */
  #again({ plan, outcomes, mirrorIn, putOff, agreed }: Done): number {
    const { clock, throttle } = this.#c.deps
    const status = this.record.copy?.status ?? {}
    const adjustIn = putOff ? retryIntent : (this.#adjustAt ?? 0) - clock.now()
    const times = [adjustIn, Date.parse(status.nextSyncOpenAPITime ?? '') - clock.wall()]
    if (mirrorIn !== undefined) times.push(mirrorIn)
    const scarce = throttle.expectedWait('DescribeNetworkInterfaces', 'warm') > 0
    if (outcomes.some(o => o.was === 'created' || o.was === 'assigned' || o.was === 'unassigned')) times.push(0)
    // A vSwitch that is empty is known to be now: another one may do.
    if (outcomes.some(o => 'error' in o && isOf(o.error, 'no-addresses'))) times.push(0)
    for (const nic of nicsOf(status))
      if (isMoving(nic) && !awaitsAnswer(nic, agreed)) times.push(this.#moves.pollIn(nic, clock.now(), scarce))
    if (plan.actions.some(a => a.do === 'unassign')) times.push(unassignPoll)
    if (Object.keys(status.intents ?? {}).length > 0) times.push(retryIntent)
    if (plan.unmet > 0) times.push(retryUnmet)
    if (this.#growAt > clock.now()) times.push(this.#growAt - clock.now())
    if (this.#barredSince.size > 0) times.push(barredTooLong)
    if (this.#syncAt < Number.POSITIVE_INFINITY) times.push(this.#syncAt - clock.now())
    return Math.max(0, Math.min(...times.filter(t => !Number.isNaN(t))))
  }
}

function isGrowth(a: CloudAction): boolean {
  return a.do === 'create-eni' || a.do === 'assign'
}

function isRelease(a: CloudAction): boolean {
  return a.do === 'unassign' || a.do === 'detach' || a.do === 'delete-eni'
}

function apisOf(a: CloudAction): readonly string[] {
  if (a.do === 'detach') return ['DetachNetworkInterface']
  if (a.do === 'delete-eni') return ['DeleteNetworkInterface']
  if (a.do !== 'unassign') return []
  return [...(a.ipv4.length > 0 ? ['UnassignPrivateIpAddresses'] : []), ...(a.ipv6.length > 0 ? ['UnassignIpv6Addresses'] : [])]
}
