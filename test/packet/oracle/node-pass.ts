// SPDX-License-Identifier: Apache-2.0
import { addressState, flowFlag, flowKind, flowState, flowWay, mode } from '#kernel/bpf/words.ts'
import { type Ip, isIpv4 } from '#net/ip.ts'
import { full } from '../world.ts'
import type { Backend } from './choose.ts'
import { account, begin, current, type Flow, flowKeyOf, judge, make, type Side, store } from './flow.ts'
import { counted, findNodeFlow, followed, type NodeFlow, nodeKeyOf } from './node-flow.ts'
import { type FlowKey, isExempt } from './policy.ts'
import { protocols, type Read } from './read.ts'
import type { Endpoint, Outcome, Step } from './step.ts'
import { rewrite } from './translate.ts'

/** What a client of the node wants, and from whom. */
export interface Passage {
  readonly key: FlowKey
  /** The entry that the packet goes on with. */
  readonly entry?: NodeFlow
  readonly frontend: number
  readonly backend: Backend
  readonly keepsSource: boolean
}

type Place = { readonly is: 'pod'; readonly ifIndex: number; readonly endpoint: Endpoint } | { readonly is: 'stack' | 'node' | 'elsewhere' }

/** What no translation can do for SCTP, whose checksum covers all of it. */
export function changesPort({ protocol, ports }: Read, { port }: Backend): boolean {
  return protocol === protocols.sctp && port !== ports.destination
}

export function towards(packet: Read, { ip, port }: Backend): Read {
  return { ...packet, destination: ip, ports: { ...packet.ports, destination: port } }
}

export function placeOf({ draft }: Step, ip: Ip): Place {
  const address = draft.get('addresses', { ip })
  if (address?.state === addressState.stack) return { is: 'stack' }
  const endpoint = address && draft.get('endpoints', { ifIndex: address.endpoint })
  if (endpoint !== undefined && endpoint.incarnation === address?.incarnation) return { is: 'pod', ifIndex: address.endpoint, endpoint }
  return { is: ip === nodeAddress(draft, ip) ? 'node' : 'elsewhere' }
}

/** The node's address of the family of another one. */
export function nodeAddress(draft: Step['draft'], like: Ip): Ip | undefined {
  const node = draft.get('node_configs', { index: 0 })
  return isIpv4(like) ? node?.address4 : node?.address6
}

export function pass(step: Step, packet: Read, passage: Passage): Outcome {
  const outcome = handOn(step, packet, passage)
  // A choice that led nowhere is none.
  if (outcome.verdict !== 'drop' || passage.entry !== undefined) return outcome
  step.draft.delete('node_flows', passage.key)
  return step.dropFor(outcome.reason)
}

function handOn(step: Step, packet: Read, passage: Passage): Outcome {
  const { backend } = passage
  const place = placeOf(step, backend.ip)
  step.portsOf(packet)
  if (changesPort(packet, backend)) return step.drop('service-translation-failed')
  if (place.is === 'elsewhere') return toElsewhere(step, packet, passage)
  const after = rewrite(step, packet, { which: 'destination', ip: backend.ip, port: backend.port })
  if (after === undefined) return step.drop('service-translation-failed')
  if (place.is === 'pod') return toPod(step, after, passage, place)
  remember(step, passage, place.is === 'node' ? toNode(step, after, passage) : begun(step, packet, passage, 0))
  return step.pass(place.is === 'node' ? 'nodeToHost' : 'nodeToPod')
}

/** The backend sees the node, at a port that tells its answers apart. */
function toElsewhere(step: Step, packet: Read, passage: Passage): Outcome {
  const { backend } = passage
  if (passage.keepsSource) return step.drop('service-without-backend')
  if (packet.protocol === protocols.sctp) return step.drop('service-translation-failed')
  const ip = nodeAddress(step.draft, packet.source)
  const taken = ip === undefined ? undefined : takePort(step, packet, passage, ip)
  if (ip === undefined || taken === undefined) return step.drop('service-nat-ports')
  remember(step, passage, taken.client)
  const from = rewrite(step, packet, { which: 'source', ip, port: taken.client.natPort })
  const both = from && rewrite(step, from, { which: 'destination', ip: backend.ip, port: backend.port })
  return both === undefined ? step.drop('service-translation-failed') : sendByNode(step, 'nodeToRemote')
}

/** Out where the node's address is. */
export function sendByNode(step: Step, path: 'nodeToRemote' | 'remoteAnswersClient'): Outcome {
  return step.sendOut(step.draft.get('node_configs', { index: 0 })?.ifIndex ?? 0, path)
}

/** The client's entry with this packet. */
function begun(step: Step, packet: Read, { key, entry, frontend, backend }: Passage, natPort: number): NodeFlow {
  const { remote: client, remotePort: clientPort } = key
  const first = full('node_flows', { state: flowState.new, flags: flowFlag.remoteFirst, client, clientPort, frontend, backend: backend.id })
  return counted(step, packet, { ...(entry ?? first), natPort }, 'client')
}

function remember({ draft }: Step, { key }: Passage, after: NodeFlow): void {
  draft.put('node_flows', key, after)
}

/** Both entries by the node's port towards the backend: the one that the flow has, or a free one; undefined: none is. */
function takePort(step: Step, packet: Read, passage: Passage, local: Ip): { readonly client: NodeFlow } | undefined {
  const { draft } = step
  const { key, entry, backend } = passage
  const backendKey = (localPort: number): FlowKey => ({
    ...{ local, localPort, remote: backend.ip, remotePort: backend.port },
    ...{ protocol: packet.protocol, kind: flowKind.backend, spare: 0 },
  })
  const take = (port: number) => {
    const client = begun(step, packet, passage, port)
    draft.put('node_flows', backendKey(port), client)
    return { client }
  }
  if (entry !== undefined && entry.natPort !== 0) {
    const own = backendKey(entry.natPort)
    const client = joined(step, packet, passage, own, entry.natPort)
    if (client !== undefined) return { client }
    if (findNodeFlow(step, own) === undefined) return take(entry.natPort)
  }
  const { natPortFirst, natPortLast } = draft.get('node_configs', { index: 0 }) ?? { natPortFirst: 0, natPortLast: 0 }
  const all = natPortFirst === 0 ? [] : Array.from({ length: Math.max(0, natPortLast - natPortFirst + 1) }, (_, i) => natPortFirst + i)
  const isFree = (port: number) => findNodeFlow(step, backendKey(port)) === undefined
  const free = all.filter(isFree)
  const mayMiss = all.length === 0 || all.some((_, start) => !isFreeWithin(all, start, isFree))
  const [first, ...rest] = [...free, ...(mayMiss ? [undefined] : [])]
  const port = step.pick([first, ...rest], (option, { row }) => row('node_flows', key)?.natPort === option)
  return port === undefined ? undefined : take(port)
}

/** The entry by which answers are found goes on: it counts the packet, and the client's is as far as it is. */
function joined(step: Step, packet: Read, { entry, frontend }: Passage, key: FlowKey, natPort: number): NodeFlow | undefined {
  const other = findNodeFlow(step, key)
  if (entry === undefined || other === undefined) return undefined
  const isSame = other.client === entry.client && other.clientPort === entry.clientPort
  if (!isSame || other.frontend !== frontend || other.natPort !== natPort) return undefined
  const after = counted(step, packet, other, 'client')
  step.draft.put('node_flows', key, after)
  return followed(step, { ...entry, natPort }, after)
}

/** How many ports are tried from where chance begins. */
const tries = 16

function isFreeWithin(all: readonly number[], start: number, isFree: (port: number) => boolean): boolean {
  return Array.from({ length: tries }, (_, n) => all[(start + n) % all.length] ?? 0).some(isFree)
}

/** For a socket of the node: who answers is found by what the client is to it. */
function toNode(step: Step, packet: Read, passage: Passage): NodeFlow {
  const key = nodeKeyOf(packet, 'remote', 'backend')
  const client = joined(step, packet, passage, key, 0)
  if (client !== undefined) return client
  const first = begun(step, packet, passage, 0)
  step.draft.put('node_flows', key, first)
  return first
}

function toPod(step: Step, packet: Read, passage: Passage, { ifIndex, endpoint }: Place & { is: 'pod' }): Outcome {
  const { draft } = step
  const moment = step.moment(packet)
  const remote = packet.source
  const side: Side = {
    ifIndex,
    endpoint,
    key: flowKeyOf(packet, 'remote'),
    remote,
    sends: 'remote',
    exempt: (way, when) => when === 'again' && isExempt(draft, way, remote),
  }
  const direct = step.has(mode.forward)
  const way = direct ? flowWay.direct : flowWay.host
  const { frontend } = passage
  const found = judge(moment, side, clientsOwn(current(moment, side), direct))
  if (found.is === 'drop') return step.dropFor(found.reason)
  let flow: Flow | undefined
  if (found.is === 'flow') {
    flow = { ...found.flow, frontend, way }
    if (direct) flow = account(moment, side, flow)
    else store(draft, side.key, flow)
  } else {
    const beginning = begin(moment, side)
    const made = make(moment, side, way, beginning, { frontend })
    if (beginning.denied !== undefined) return step.dropFor(beginning.denied)
    account(moment, side, made)
  }
  const client = begun(step, packet, passage, 0)
  remember(step, passage, flow === undefined ? client : { ...client, state: flow.state, flags: flow.flags })
  if (!direct) return step.pass('nodeToPod')
  return step.size(packet) > endpoint.mtu ? step.pass('tooLong') : step.deliver(ifIndex, endpoint, 'nodeToPod')
}

/** What the pod began, or asked itself, is no flow of a client; nor does a node that only translates know of denials. */
function clientsOwn(flow: Flow | undefined, direct: boolean): Flow | undefined {
  if (flow === undefined || (flow.flags & (flowFlag.remoteFirst | flowFlag.hairpin)) !== flowFlag.remoteFirst) return undefined
  return !direct && flow.state === flowState.denied ? undefined : flow
}
