// SPDX-License-Identifier: Apache-2.0
import { control, credits, dropReasons, flowFlag, flowState, flowTimeout, flowWay, mode, serviceWord } from '#kernel/bpf/words.ts'
import type { Ip } from '#net/ip.ts'
import { full, type RowValue } from '../world.ts'
import type { Draft } from './draft.ts'
import { allows, asksPolicy, type Direction, type FlowKey, flowIdentityOf, generationOf, modeOf, policyOf } from './policy.ts'
import type { Read } from './read.ts'

export type Flow = RowValue<'flows'>
export type Way = (typeof flowWay)[keyof typeof flowWay]

/** A flow as an endpoint sees the packet: which of the two sides sends. */
export interface Side {
  readonly ifIndex: number
  readonly endpoint: RowValue<'endpoints'>
  readonly key: FlowKey
  readonly remote: Ip
  readonly sends: 'local' | 'remote'
  /** Whether policy is not asked about this remote: when the flow begins, or when it is asked again. */
  exempt(way: Direction, when: 'first' | 'again'): boolean
}

/** What the packet and the moment bring along. */
export interface Moment {
  readonly draft: Draft
  readonly now: number
  readonly length: number
  readonly packet: Read
}

const tcp = 6
export const bit = { fin: 1, syn: 2, rst: 4, ack: 16 } as const
const unitsPerSecond = 1e9 / 2 ** 20
const reasonOf = { in: dropReasons['policy-ingress'], out: dropReasons['policy-egress'] } as const

export function isSyn({ protocol, tcpFlags }: Read): boolean {
  return protocol === tcp && (tcpFlags & (bit.syn | bit.ack)) === bit.syn
}

export const remoteBegan = (flow: Flow) => (flow.flags & flowFlag.remoteFirst) !== 0
const movingAtMost = 10_000

/** Whether the entry of a packet without a flow may be on its way into another table, and its connection sends it again. */
export function isEarly({ draft, now, packet }: Pick<Moment, 'draft' | 'now' | 'packet'>): boolean {
  const until = Number(BigInt.asUintN(32, draft.get('service_states', { index: serviceWord.movingUntil })?.value ?? 0n))
  const isMoving = (modeOf(draft) & mode.service) !== 0 && (until - now) >>> 0 < movingAtMost
  return isMoving && packet.protocol === tcp && !isSyn(packet)
}

/** After a packet that came by no Service: a client of the node that asks the pod itself is answered by it. */
export const askedItself = (flow: Flow): Flow =>
  remoteBegan(flow) && (flow.flags & flowFlag.hairpin) === 0 ? { ...flow, frontend: 0 } : flow
const initiator = (flow: Flow): Side['sends'] => (remoteBegan(flow) ? 'remote' : 'local')

export function flowKeyOf(packet: Pick<Read, 'source' | 'destination' | 'protocol' | 'ports'>, sends: Side['sends']): FlowKey {
  const { source, destination, protocol, ports } = packet
  const common = { protocol, kind: 0, spare: 0 }
  return sends === 'local'
    ? { local: source, remote: destination, localPort: ports.source, remotePort: ports.destination, ...common }
    : { local: destination, remote: source, localPort: ports.destination, remotePort: ports.source, ...common }
}

/** The entry of a key that still counts; `choices`: of whatever age, since the other side's packets are no part of theirs. */
export function findFlow({ draft, now }: Moment, key: FlowKey, endpoint: RowValue<'endpoints'>, choices = false): Flow | undefined {
  const counts = (flow: Flow | undefined) =>
    flow !== undefined && ((choices && flow.way === flowWay.service) || !isOld(now, key, flow)) && isOfSameOwners(draft, endpoint, flow)
  return [draft.get('flows', key), draft.get('new_flows', key)].find(counts)
}

export const openTimeout = (protocol: number) => (protocol === tcp ? flowTimeout.openTcp : flowTimeout.open)

/** Signed: another CPU's clock reading may be a little ahead. */
export const isOlder = (now: number, seen: number, seconds: number) => ((now - seen) | 0) > seconds * unitsPerSecond

export function isOld(now: number, key: FlowKey, flow: Flow): boolean {
  const seconds: Readonly<Record<number, number>> = {
    [flowState.new]: flowTimeout.new,
    [flowState.open]: openTimeout(key.protocol),
    [flowState.closing]: flowTimeout.closing,
    [flowState.denied]: flowTimeout.denied,
  }
  return isOlder(now, flow.seen, seconds[flow.state] ?? 0)
}

function isOfSameOwners(draft: Draft, endpoint: RowValue<'endpoints'>, flow: Flow): boolean {
  if (flow.localIncarnation !== endpoint.incarnation) return false
  return flow.peer === 0 || draft.get('endpoints', { ifIndex: flow.peer })?.incarnation === flow.peerIncarnation
}

export type Found = { readonly is: 'flow'; readonly flow: Flow } | { readonly is: 'new' } | { readonly is: 'drop'; readonly reason: number }

/** The flow that a packet goes on with, whatever policy says of it; `choices` as above. */
export function current(moment: Moment, side: Side, choices = false): Flow | undefined {
  const flow = findFlow(moment, side.key, side.endpoint, choices)
  const beginsAnew = flow !== undefined && isSyn(moment.packet) && flow.state !== flowState.denied && !isRepeated(flow, side)
  return beginsAnew ? undefined : flow
}

/** That flow, asked of policy again when that changed; `new` when it has to be decided. */
export function goOn(moment: Moment, side: Side): Found {
  return judge(moment, side, current(moment, side))
}

export function judge({ draft, now }: Moment, side: Side, found: Flow | undefined): Found {
  if (found === undefined) return { is: 'new' }
  if ((modeOf(draft) & mode.forward) === 0) return { is: 'flow', flow: found }
  let flow = found
  const { revision } = policyOf(draft, side.ifIndex)
  const isOutdated = asksPolicy(draft) && flow.checked !== generationOf(draft)
  if (isOutdated) flow = { ...flow, checked: generationOf(draft) }
  if (isOutdated && flow.policyRevision !== revision) {
    const way = remoteBegan(flow) ? 'in' : 'out'
    flow = { ...flow, policyRevision: revision, identity: flowIdentityOf(draft, side.ifIndex, side.remote) }
    if (!side.exempt(way, 'again') && !allows(draft, side.ifIndex, way, side.key, side.remote)) {
      store(draft, side.key, { ...flow, seen: now, state: flowState.denied, reason: reasonOf[way] })
      return { is: 'drop', reason: reasonOf[way] }
    }
    if (flow.state === flowState.denied) flow = { ...flow, state: flowState.new, reason: 0 }
  }
  if (flow !== found) store(draft, side.key, flow)
  return flow.state === flowState.denied ? { is: 'drop', reason: dropReasons['denied-flow'] } : { is: 'flow', flow }
}

/** A SYN again, before any answer. */
const isRepeated = (flow: Flow, side: Side) => flow.state === flowState.new && initiator(flow) === side.sends

/** Who began, if policy allows it: TCP from the middle of a flow does not tell. */
export function begin(moment: Moment, side: Side): Beginning {
  const { draft, packet } = moment
  const other: Side['sends'] = side.sends === 'local' ? 'remote' : 'local'
  const middle = packet.protocol === tcp && !isSyn(packet)
  const wayOf = (by: Side['sends']) => (by === 'remote' ? 'in' : 'out')
  const sides: readonly Side['sends'][] = middle ? [side.sends, other] : [side.sends]
  const by = sides.find(by => {
    const way = wayOf(by)
    return side.exempt(way, 'first') || allows(draft, side.ifIndex, way, side.key, side.remote)
  })
  if (by === undefined) return { by: side.sends, denied: reasonOf[wayOf(side.sends)] }
  return admits(moment, side, by === 'remote' && side.exempt('in', 'first'))
    ? { by }
    : { by, denied: dropReasons['flow-limit'], leavesNothing: true }
}

interface Beginning {
  readonly by: Side['sends']
  /** Why it is refused. */
  readonly denied?: number
  /** There is no entry of it. */
  readonly leavesNothing?: boolean
}

function limitOf(draft: Draft): number {
  return Number(draft.get('control', { index: control.flowLimit })?.value ?? 0n)
}

/** Whether the pod may have one more flow, which is counted; what is in the middle goes on in any case. */
export function admits({ draft, packet }: Moment, { ifIndex }: Pick<Side, 'ifIndex'>, exempt: boolean): boolean {
  const limit = limitOf(draft)
  if (limit === 0) return true
  const { live, refused } = draft.get('endpoint_flows', { ifIndex }) ?? { live: 0, refused: 0n }
  const begins = packet.protocol !== tcp || isSyn(packet)
  const isFull = begins && !exempt && (live | 0) >= limit
  draft.put('endpoint_flows', { ifIndex }, { live: isFull ? live : (live + 1) >>> 0, refused: isFull ? refused + 1n : refused })
  return !isFull
}

function ended(draft: Draft, ifIndex: number): void {
  const found = draft.get('endpoint_flows', { ifIndex })
  if (limitOf(draft) > 0 && found !== undefined) draft.put('endpoint_flows', { ifIndex }, { ...found, live: (found.live - 1) >>> 0 })
}

export interface Made {
  readonly peer?: { readonly ifIndex: number; readonly incarnation: number }
  /** By which the sender came, or 0: nothing is said of it when the other side may be the one who began. */
  readonly frontend?: number
}

/** A flow's first entry, or its first as a denied one. */
export function make(
  { draft, now }: Moment,
  side: Side,
  way: Way,
  { by, denied, leavesNothing = false }: Beginning,
  { peer, frontend = 0 }: Made = {},
): Flow {
  const flow = full('flows', {
    frontend: by === side.sends ? frontend : 0,
    seen: now,
    state: denied === undefined ? flowState.new : flowState.denied,
    way,
    flags: by === 'remote' ? flowFlag.remoteFirst : 0,
    reason: denied ?? 0,
    policyRevision: policyOf(draft, side.ifIndex).revision,
    checked: generationOf(draft),
    localIncarnation: side.endpoint.incarnation,
    peer: peer?.ifIndex ?? 0,
    peerIncarnation: peer?.incarnation ?? 0,
    identity: flowIdentityOf(draft, side.ifIndex, side.remote),
  })
  return leavesNothing ? flow : place(draft, side.key, flow)
}

/** Whether a new flow goes to those in use at once: the tests grant all credit there is, or none. */
function hasCredit(draft: Draft): boolean {
  return (draft.get('credits', { index: credits.flows + credits.granted })?.value ?? 0n) > 0n
}

/** Puts a new entry where it belongs: a denied one never to those in use. */
export function place(draft: Draft, key: FlowKey, flow: Flow): Flow {
  if (flow.state === flowState.denied || !hasCredit(draft)) {
    draft.delete('flows', key)
    return draft.put('new_flows', key, flow)
  }
  draft.delete('new_flows', key)
  return draft.put('flows', key, { ...flow, flags: flow.flags | flowFlag.fresh })
}

/** The entry after this packet: its state, its counters and its map. */
export function account({ draft, now, length, packet }: Moment, side: Side, flow: Flow): Flow {
  const answers = side.sends !== initiator(flow)
  let { flags, state } = flow
  if (answers) {
    flags |= flowFlag.answered
    if (state === flowState.new) state = flowState.open
  }
  if (packet.protocol === tcp && (packet.tcpFlags & (bit.fin | bit.rst)) !== 0) {
    flags |= side.sends === 'local' ? flowFlag.localEnded : flowFlag.remoteEnded
    const both = flowFlag.localEnded | flowFlag.remoteEnded
    if ((packet.tcpFlags & bit.rst) !== 0 || (flags & both) === both) state = flowState.closing
  }
  if (state === flowState.closing && flow.state !== flowState.closing) ended(draft, side.ifIndex)
  const counters =
    side.sends === 'local'
      ? { txPackets: flow.txPackets + 1, txBytes: flow.txBytes + BigInt(length) }
      : { rxPackets: flow.rxPackets + 1, rxBytes: flow.rxBytes + BigInt(length) }
  const after = { ...flow, ...counters, seen: now, flags, state }
  store(draft, side.key, after, settles(packet.protocol, after, !answers))
  return after
}

/** Whether a packet shows that the flow is in use: it is answered, and of TCP the one who began goes on. */
export function settles(protocol: number, { flags, state }: Flow, byInitiator: boolean): boolean {
  return (flags & flowFlag.answered) !== 0 && (protocol !== tcp || (byInitiator && state === flowState.open))
}

/** Writes an entry where it is, or moves it to those in use. */
export function store(draft: Draft, key: FlowKey, flow: Flow, moves = false): void {
  if (moves || draft.get('new_flows', key) === undefined) {
    draft.put('flows', key, moves ? { ...flow, flags: flow.flags & ~flowFlag.fresh } : flow)
    draft.delete('new_flows', key)
  } else draft.put('new_flows', key, flow)
}
