// SPDX-License-Identifier: Apache-2.0
import { addressState, flowFlag, flowState, flowWay, mode } from '#kernel/bpf/words.ts'
import { type Ip, isIpv4 } from '#net/ip.ts'
import type { Backend } from './choose.ts'
import { account, begin, current, type Flow, judge, make, store } from './flow.ts'
import { type NodeFlow, nodeKeyOf, placeNodeFlow, settleNodeFlow, storeNodeFlow } from './node-flow.ts'
import { begun, joined, type Passage, takePort } from './node-port.ts'
import { protocols, type Read } from './read.ts'
import { receiverOf } from './receiver.ts'
import type { Endpoint, Outcome, Step } from './step.ts'
import { oneHopLess, rewrite } from './translate.ts'

/** `exclusive`: here, but it answers clients by an ENI of its own, so that only the node can be its client. */
type Place =
  | { readonly is: 'pod'; readonly ifIndex: number; readonly endpoint: Endpoint }
  | { readonly is: 'stack' | 'node' | 'elsewhere' | 'exclusive' }

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
  if (address?.state === addressState.exclusive) return { is: 'exclusive' }
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
  step.draft.delete('new_node_flows', passage.key)
  return step.dropFor(outcome.reason)
}

function handOn(step: Step, packet: Read, passage: Passage): Outcome {
  const { backend } = passage
  const place = placeOf(step, backend.ip)
  step.portsOf(packet)
  if (changesPort(packet, backend)) return step.drop('service-translation-failed')
  if (place.is === 'elsewhere' && passage.keepsSource) return step.drop('service-without-backend')
  if (place.is === 'elsewhere' || place.is === 'exclusive') return asNode(step, packet, passage)
  const after = rewrite(step, packet, { which: 'destination', ip: backend.ip, port: backend.port })
  if (after === undefined) return step.drop('service-translation-failed')
  if (place.is === 'pod') return toPod(step, after, passage, place)
  remember(step, passage, place.is === 'node' ? toNode(step, after, passage) : begun(step, packet, passage, 0))
  return step.pass(place.is === 'node' ? 'nodeToHost' : 'nodeToPod')
}

/** The backend sees the node, at a port that tells its answers apart. */
function asNode(step: Step, packet: Read, passage: Passage): Outcome {
  const { backend } = passage
  if (packet.protocol === protocols.sctp) return step.drop('service-translation-failed')
  const hopped = oneHopLess(step.frame, packet)
  if (hopped === undefined) return step.drop('service-hop-limit')
  step.frame = hopped
  const ip = nodeAddress(step.draft, packet.source)
  const taken = ip === undefined ? undefined : takePort(step, packet, passage, ip)
  if (ip === undefined || taken === undefined) return step.drop('service-nat-ports')
  remember(step, passage, taken.client)
  const from = rewrite(step, packet, { which: 'source', ip, port: taken.client.natPort })
  const both = from && rewrite(step, from, { which: 'destination', ip: backend.ip, port: backend.port })
  return both === undefined ? step.drop('service-translation-failed') : sendByNode(step, 'nodeToRemote', backend.ip)
}

/** Out where the node's address is, or to the host end of a pod that has an ENI for itself. */
export function sendByNode(step: Step, path: 'nodeToRemote' | 'remoteAnswersClient', to: Ip): Outcome {
  return step.sendOut(exclusiveOf(step, to) ?? step.draft.get('node_configs', { index: 0 })?.ifIndex ?? 0, path)
}

export function exclusiveOf({ draft }: Step, ip: Ip): number | undefined {
  const address = draft.get('addresses', { ip })
  return address?.state === addressState.exclusive ? address.endpoint : undefined
}

function remember({ draft }: Step, { key, entry }: Passage, after: NodeFlow): void {
  if (entry === undefined) placeNodeFlow(draft, key, after)
  else storeNodeFlow(draft, key, after)
  settleNodeFlow(draft, key, after)
}

/** For a socket of the node: who answers is found by what the client is to it. */
function toNode(step: Step, packet: Read, passage: Passage): NodeFlow {
  const key = nodeKeyOf(packet, 'remote', 'backend')
  const client = joined(step, packet, passage, key, 0)
  if (client !== undefined) return client
  const first = begun(step, packet, passage, 0)
  placeNodeFlow(step.draft, key, first)
  return first
}

function toPod(step: Step, packet: Read, passage: Passage, { ifIndex, endpoint }: Place & { is: 'pod' }): Outcome {
  const { draft } = step
  const moment = step.moment(packet)
  const side = receiverOf(step, packet, ifIndex, endpoint)
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
  remember(step, passage, flow === undefined ? client : followedBy(client, flow))
  if (!direct) return step.pass('nodeToPod')
  return step.size(packet) > endpoint.mtu ? step.pass('tooLong') : step.deliver(ifIndex, endpoint, 'nodeToPod')
}

/** The client's entry is as far as the pod's. */
function followedBy(client: NodeFlow, { state, flags }: Flow): NodeFlow {
  return { ...client, state, flags: (flags & ~flowFlag.fresh) | (client.flags & flowFlag.fresh) }
}

/** What the pod began, or asked itself, is no flow of a client; nor does a node that only translates know of denials. */
function clientsOwn(flow: Flow | undefined, direct: boolean): Flow | undefined {
  if (flow === undefined || (flow.flags & (flowFlag.remoteFirst | flowFlag.hairpin)) !== flowFlag.remoteFirst) return undefined
  return !direct && flow.state === flowState.denied ? undefined : flow
}
