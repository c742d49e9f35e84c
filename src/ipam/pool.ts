// SPDX-License-Identifier: Apache-2.0
import type { EniStatus } from '#cloud/port.ts'
import { type EniMode, eniModeOf, type Intent, type Nic, type NicIp, type NodeCr, type NodeSpec } from '#kube/crd/node.ts'
import type { NodeRuntime, RuntimePod } from '#kube/crd/node-runtime.ts'
import { podsServed, type Stack, stackOf } from '#net/stack.ts'

/** `local`: the daemon binds and answers release marks. `central`: a daemon of Terway; the controller binds in the Node CR. */
export type Binding = 'local' | 'central'

/**
 * idle: a pod may take it. held: a pod has it. barred: Valid again, but the daemon still reports that it gave it back.
 * marked: Deleting, no answer to the present mark yet. acked / refused: the daemon's answer to the present mark. unasked:
 * Deleting without a mark, left by Terway's controller, or under central binding, where nobody is asked. invalid: vanished in the
 * cloud.
 */
export type AddressState = 'idle' | 'held' | 'barred' | 'marked' | 'acked' | 'refused' | 'unasked' | 'invalid'

export interface PoolAddress {
  readonly ip: string
  readonly family: 4 | 6
  readonly primary: boolean
  readonly state: AddressState
}

export interface PoolEni {
  readonly id: string
  /** As Node.status has it. */
  readonly status: string
  /** What the cloud said in this round; `absent` = asked for and not there; undefined = not asked. */
  readonly seen: EniStatus | 'absent' | undefined
  readonly trunk: boolean
  /** It exists in the record only: the cloud knows it no more, or has it on another instance. */
  readonly lost: boolean
  /** Its attachment takes so long, or is refused for so long, that nobody counts on it any more. */
  readonly stuck: boolean
  /** A pod that had it for itself has gone a moment ago, or none has come yet: the next one may take it over. */
  readonly resting: boolean
  /** Plain pods may use it: not unschedulable, not high-performance. */
  readonly plain: boolean
  readonly vSwitchId: string
  /** Its vSwitch has an IPv6 CIDR block. */
  readonly v6: boolean
  readonly addresses: readonly PoolAddress[]
}

/** Everything the planner knows of one node's addresses. A value. */
export interface Pool {
  readonly binding: Binding
  readonly mode: EniMode
  readonly stack: Stack
  readonly enis: readonly PoolEni[]
  readonly intents: readonly Intent[]
  /** Addresses per ENI that pods may have: on a node whose pods have one ENI each, at most one of each family. */
  readonly capacity4: number
  readonly capacity6: number
  /** ENIs besides the primary one, all kinds together, and how many of them are to be trunks. */
  readonly maxEnis: number
  readonly trunks: number
}

export interface PoolFacts {
  readonly node: NodeCr
  readonly runtime: NodeRuntime | undefined
  readonly binding: Binding
  /** UIDs of the pods on this node that exist in the API. */
  readonly podUids: ReadonlySet<string>
  readonly seen: ReadonlyMap<string, EniStatus | 'absent'>
  /** ENIs on their way for longer than an attachment takes; none when absent. */
  readonly late?: ReadonlySet<string>
}

export function poolOf(facts: PoolFacts): Pool {
  const { spec, status } = facts.node
  const holders = heldByRuntime(facts.runtime)
  const flavor = spec.flavor ?? []
  const mode = eniModeOf(facts.node)
  const trunks = mode === 'exclusive' ? 0 : sum(flavor.filter(f => f.networkInterfaceType === 'Trunk').map(f => f.count))
  const planned = sum(flavor.filter(f => f.networkInterfaceTrafficMode === 'Standard').map(f => f.count))
  const adapters = Math.max(0, (spec.nodeCap?.adapters ?? 0) - 1)
  return {
    binding: facts.binding,
    mode,
    stack: stackOf(spec.eni),
    enis: Object.values(status?.networkInterfaces ?? {})
      .filter(nic => nic.networkInterfaceType !== 'Primary')
      .map(nic => eniOf(nic, facts, holders)),
    intents: Object.values(status?.intents ?? {}),
    ...perEniOf(spec, mode),
    maxEnis: flavor.length > 0 ? Math.min(planned, adapters) : adapters,
    trunks,
  }
}

/** Addresses that pods may have on one ENI of the node. */
export function perEniOf(spec: NodeSpec, mode: EniMode): Pick<Pool, 'capacity4' | 'capacity6'> {
  const { ipv4PerAdapter = 0, ipv6PerAdapter = 0 } = spec.nodeCap ?? {}
  const most = mode === 'exclusive' ? 1 : Number.POSITIVE_INFINITY
  return { capacity4: Math.min(most, ipv4PerAdapter), capacity6: Math.min(most, ipv6PerAdapter) }
}

function eniOf(nic: Nic, facts: PoolFacts, holders: Holders): PoolEni {
  const address = (family: 4 | 6) => (a: NicIp) => ({
    ip: a.ip,
    family,
    primary: a.primary,
    state: stateOf(a, facts, isHeld(a, nic, holders)),
  })
  return {
    id: nic.id,
    status: nic.status,
    seen: facts.seen.get(nic.id),
    trunk: nic.networkInterfaceType === 'Trunk',
    lost: isLost(nic) || facts.seen.get(nic.id) === 'absent',
    stuck: facts.late?.has(nic.id) === true,
    resting: false,
    plain: nic.unschedulable !== true && nic.networkInterfaceTrafficMode !== 'HighPerformance',
    vSwitchId: nic.vSwitchID ?? '',
    v6: (nic.ipv6CIDR ?? '') !== '',
    addresses: [...Object.values(nic.ipv4 ?? {}).map(address(4)), ...Object.values(nic.ipv6 ?? {}).map(address(6))],
  }
}

/** An ENI cannot lose its primary address: when that has vanished, the ENI has. */
export function isLost(nic: Nic): boolean {
  return nic.status !== 'Deleting' && Object.values(nic.ipv4 ?? {}).some(a => a.primary && a.status === 'Invalid')
}

function stateOf(a: NicIp, facts: PoolFacts, reported: boolean): AddressState {
  if (a.status === 'Deleting') {
    // Terway's daemon answers no marks. It binds nothing itself either: what nobody has may go, what somebody has stays.
    if (facts.binding === 'central') return reported || (a.podID ?? '') !== '' ? 'refused' : 'unasked'
    if (a.releaseNonce === undefined) return 'unasked'
    return answerTo(a, facts.runtime) ?? 'marked'
  }
  if (reported) return 'held'
  if (a.podUID !== undefined && a.podUID !== '' && boundInCr(a.podUID, facts)) return 'held'
  if (facts.binding === 'central' && a.podID !== undefined && a.podID !== '') return 'held'
  if (a.status === 'Invalid') return 'invalid'
  return facts.binding === 'local' && facts.runtime?.status?.releases?.[a.ip]?.answer === 'acked' ? 'barred' : 'idle'
}

/** The daemon's answer to the address's present mark. */
function answerTo(a: NicIp, runtime: NodeRuntime | undefined): 'acked' | 'refused' | undefined {
  const given = runtime?.status?.releases?.[a.ip]
  return given !== undefined && given.nonce === a.releaseNonce ? given.answer : undefined
}

/** Who binds, and what the daemon has reported. */
export type Agreed = Pick<PoolFacts, 'binding' | 'runtime'>

/** Whether the ENI's removal waits for the daemon, so that nothing in the cloud can bring it forward. One refusal is enough to go on. */
export function awaitsAnswer(nic: Nic, { binding, runtime }: Agreed): boolean {
  const marks = Object.values({ ...nic.ipv4, ...nic.ipv6 }).filter(a => a.status === 'Deleting' && a.releaseNonce !== undefined)
  const answers = marks.map(a => answerTo(a, runtime))
  return binding === 'local' && answers.includes(undefined) && !answers.includes('refused')
}

/**
 * Central: a binding stands until the controller clears it. Local: what an earlier central binding, or our own mirror, says
 * counts while the pod exists and its sandbox is not reported gone.
 */
function boundInCr(podUid: string, facts: PoolFacts): boolean {
  if (facts.binding === 'central') return true
  const pod = facts.runtime?.status?.pods?.[podUid]
  return facts.podUids.has(podUid) && (pod === undefined || isLive(pod))
}

/** The ENI on which each address is held, when the daemon says so. */
type Holders = ReadonlyMap<string, string | undefined>

/** Addresses that live pods of NodeRuntime hold. */
export function heldByRuntime(runtime: NodeRuntime | undefined): Holders {
  const held = new Map<string, string | undefined>()
  for (const pod of Object.values(runtime?.status?.pods ?? {})) {
    if (!isLive(pod)) continue
    for (const ip of [pod.ipv4, pod.ipv6]) if (ip !== undefined) held.set(ip, pod.eniID)
  }
  return held
}

/**
 * When somebody deletes an ENI, the cloud may give its address to another one of the node: until the first has left the record
 * both show it. Where it could be leased the daemon leases it to nobody else while a pod of either has it.
 */
function isHeld(a: NicIp, nic: Nic, holders: Holders): boolean {
  if (!holders.has(a.ip)) return false
  return (a.status === 'Valid' && nic.status === 'InUse') || (holders.get(a.ip) ?? nic.id) === nic.id
}

/** Whether the newest entry of a pod's report is not `deleted`. At equal times `deleted` wins: it cannot come first. */
export function isLive(pod: RuntimePod): boolean {
  const at = (state: string) => Date.parse(pod.status[state]?.lastUpdateTime ?? '')
  const deleted = at('deleted')
  return Number.isNaN(deleted) || at('initial') > deleted
}

/** It will serve as soon as it is attached, and that is still to be expected. */
export function isComing(eni: PoolEni): boolean {
  return (eni.status === 'Available' || eni.status === 'Attaching') && eni.plain && !eni.stuck && !eni.lost
}

/** InUse in our record: its idle addresses may be leased. An ENI under removal, lost, or on its way, serves nobody. */
export function serves(eni: PoolEni): boolean {
  return eni.status === 'InUse' && eni.plain && !eni.lost
}

/** Pods that the ENI's addresses in one of the states could serve. */
export function podsOf(pool: Pool, eni: PoolEni, ...states: readonly AddressState[]): number {
  const of = (family: 4 | 6) => eni.addresses.filter(a => a.family === family && states.includes(a.state)).length
  return podsOn(pool, eni, of(4), of(6))
}

/** Pods that so many addresses of the ENI could serve. Where each pod has its own ENI it is one at most, whatever else the ENI holds, and none beside another. */
export function podsOn(pool: Pool, eni: PoolEni, v4: number, v6: number): number {
  const pods = podsServed(pool.stack, v4, v6)
  return pool.mode === 'shared' ? pods : isTaken(eni) ? 0 : Math.min(1, pods)
}

/** A pod has one of its addresses, or may have taken one that is asked for. */
function isTaken(eni: PoolEni): boolean {
  return eni.addresses.some(a => a.state === 'held' || a.state === 'refused' || a.state === 'marked')
}

export function sum(values: readonly number[]): number {
  return values.reduce((a, b) => a + b, 0)
}
