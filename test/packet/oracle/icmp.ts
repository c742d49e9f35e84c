// SPDX-License-Identifier: Apache-2.0
import { flowState, flowWay, mode } from '#kernel/bpf/words.ts'
import { type Flow, findFlow, flowKeyOf, isOlder, openTimeout, remoteBegan } from './flow.ts'
import { type Direction, enforces, type FlowKey } from './policy.ts'
import type { Read } from './read.ts'
import { answerByNode, isOfServices } from './service.ts'
import type { Endpoint, Outcome, Step } from './step.ts'
import { rewrite, translatedInside } from './translate.ts'

/** What an endpoint noted when it sent by way of the host stack, of the same incarnation, and as long ago at most as an open flow may be idle. */
export function hasNote({ draft, now }: Step, key: Pick<FlowKey, 'local' | 'localPort' | 'protocol'>, endpoint: Endpoint): boolean {
  const { local, localPort, protocol } = key
  const note = draft.get('host_notes', { local, localPort, protocol })
  return note?.incarnation === endpoint.incarnation && !isOlder(now, note.seen, openTimeout(protocol))
}

/**
 * An ICMP error takes the host stack, which knows what it translated, but for one that a pod gets about a flow past the stack. An endpoint whose policy is enforced
 * may send (`out`) and get (`in`) only those about packets of flows that go on.
 */
export function icmpError(step: Step, packet: Read, ifIndex: number, endpoint: Endpoint, way: Direction): Outcome {
  if (enforces(step.draft, ifIndex, way) && !isRelated(step, packet, endpoint, way)) return step.drop('icmp-unrelated')
  if (way === 'out') return icmpErrorOfPod(step, packet, endpoint)
  const flow = flowOf(step, packet, endpoint, 'in')
  const isDirect = flow?.way === flowWay.direct && flow.frontend === 0 && flow.state !== flowState.denied
  return isDirect && step.size(packet) <= endpoint.mtu ? step.deliver(ifIndex, endpoint, 'remoteToPod') : step.pass('icmpError')
}

/** A pod that answers clients of the node says so of what they sent to the node. */
function icmpErrorOfPod(step: Step, packet: Read, endpoint: Endpoint): Outcome {
  const { carried } = packet
  const flow = flowOf(step, packet, endpoint, 'out')
  if (
    !step.has(mode.service) ||
    carried === undefined ||
    flow === undefined ||
    !remoteBegan(flow) ||
    flow.frontend === 0 ||
    isOfServices(flow)
  )
    return step.pass('icmpError')
  const front = step.draft.get('frontends', { frontend: flow.frontend })
  if (front?.ip === undefined) return step.drop('service-translation-failed')
  const { ip, port } = front
  step.frame = translatedInside(step.frame, packet, carried, { which: 'destination', ip, port })
  return rewrite(step, packet, { which: 'source', ip, port }) ? answerByNode(step) : step.drop('service-translation-failed')
}

/** An error about what a pod sent to a Service: the network saw it on its way to a backend, the pod did not. */
export function icmpErrorToPod(step: Step, packet: Read, endpoint: Endpoint): Outcome {
  const { carried } = packet
  const flow = flowOf(step, packet, endpoint, 'in')
  if (
    !step.has(mode.service) ||
    carried === undefined ||
    flow === undefined ||
    remoteBegan(flow) ||
    flow.frontend === 0 ||
    isOfServices(flow)
  )
    return step.pass('icmpError')
  const front = step.draft.get('frontends', { frontend: flow.frontend })
  if (front?.ip === undefined) return step.drop('service-translation-failed')
  step.frame = translatedInside(step.frame, packet, carried, { which: 'destination', ip: front.ip, port: front.port })
  return step.pass('icmpError')
}

function isRelated(step: Step, packet: Read, endpoint: Endpoint, way: Direction): boolean {
  const key = keyOf(packet, endpoint, way)
  if (key === undefined) return false
  const flow = findFlow(step.moment(packet), key, endpoint)
  return flow === undefined ? hasNote(step, key, endpoint) : flow.state !== flowState.denied
}

function flowOf(step: Step, packet: Read, endpoint: Endpoint, way: Direction): Flow | undefined {
  const key = keyOf(packet, endpoint, way)
  return key && findFlow(step.moment(packet), key, endpoint)
}

/** The flow that an error is about: one that the pod sends is about a packet that it got, and the other way round. */
function keyOf({ carried, family }: Read, endpoint: Endpoint, way: Direction): FlowKey | undefined {
  // An address that is the endpoint's in the map of addresses alone has no packets of its own.
  const pod = family === 4 ? endpoint.address4 : endpoint.address6
  if (carried === undefined || (way === 'out' ? carried.destination : carried.source) !== pod) return undefined
  return flowKeyOf(carried, way === 'out' ? 'remote' : 'local')
}
