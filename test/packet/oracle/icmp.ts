// SPDX-License-Identifier: Apache-2.0
import { flowState, flowWay, mode } from '#kernel/bpf/words.ts'
import { type Flow, findFlow, flowKeyOf, isOlder, openTimeout, remoteBegan } from './flow.ts'
import { type Direction, enforces, type FlowKey } from './policy.ts'
import type { Read } from './read.ts'
import { isOfServices } from './service.ts'
import type { Endpoint, Outcome, Step } from './step.ts'
import { translatedInside } from './translate.ts'

/** What an endpoint noted when it sent by way of the host stack, of the same incarnation, and as long ago at most as an open flow may be idle. */
export function hasNote({ draft, now }: Step, key: Pick<FlowKey, 'local' | 'localPort' | 'protocol'>, endpoint: Endpoint): boolean {
  const { local, localPort, protocol } = key
  const note = draft.get('host_notes', { local, localPort, protocol })
  return note?.incarnation === endpoint.incarnation && !isOlder(now, note.seen, openTimeout(protocol))
}

/** What arrives goes the way of its flow: the host stack never saw that. It says what the pod sent, where the network saw it translated. */
export function errorToPod(step: Step, packet: Read, ifIndex: number, endpoint: Endpoint): Outcome {
  if (!isRelated(step, packet, endpoint, 'in'))
    return enforces(step.draft, ifIndex, 'in') ? step.drop('icmp-unrelated') : step.pass('icmpError')
  const flow = flowOf(step, packet, endpoint, 'in')
  // Without Services the host stack may be who translates it now.
  const isOurs = flow?.way === flowWay.direct && (flow.frontend === 0 || step.has(mode.service))
  if (!isOurs || step.size(packet) > endpoint.mtu) return step.pass('icmpError')
  return showAskedInside(step, packet, flow) ? step.deliver(ifIndex, endpoint, 'remoteToPod') : step.drop('service-translation-failed')
}

/** The host stack hands over what it carries, or what it knows nothing of. */
export function icmpErrorToPod(step: Step, packet: Read, endpoint: Endpoint): Outcome {
  const flow = flowOf(step, packet, endpoint, 'in')
  return flow === undefined || showAskedInside(step, packet, flow) ? step.pass('icmpError') : step.drop('service-translation-failed')
}

/** An error about what a pod sent to a Service: the network saw it on its way to a backend, the pod did not. False when it cannot be said. */
export function showAskedInside(step: Step, packet: Read, flow: Flow): boolean {
  const { carried } = packet
  if (!step.has(mode.service) || carried === undefined || remoteBegan(flow) || flow.frontend === 0 || isOfServices(flow)) return true
  const front = step.draft.get('frontends', { frontend: flow.frontend })
  if (front?.ip === undefined) return false
  step.frame = translatedInside(step.frame, packet, carried, { which: 'destination', ip: front.ip, port: front.port })
  return true
}

export function isRelated(step: Step, packet: Read, endpoint: Endpoint, way: Direction): boolean {
  const key = keyOf(packet, endpoint, way)
  if (key === undefined) return false
  const flow = findFlow(step.moment(packet), key, endpoint)
  return flow === undefined ? hasNote(step, key, endpoint) : flow.state !== flowState.denied
}

export function flowOf(step: Step, packet: Read, endpoint: Endpoint, way: Direction): Flow | undefined {
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
