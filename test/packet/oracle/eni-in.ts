// SPDX-License-Identifier: Apache-2.0
import { addressState, flowWay, mode } from '#kernel/bpf/words.ts'
import type { Ip } from '#net/ip.ts'
import { account, askedItself, begin, current, type Flow, goOn, isEarly, isSyn, make, type Side, store } from './flow.ts'
import { errorToPod, hasNote } from './icmp.ts'
import { type Read, read } from './read.ts'
import { receiverOf } from './receiver.ts'
import type { Endpoint, Outcome, Step } from './step.ts'
import { showAsked } from './translate.ts'

interface Owner {
  readonly ifIndex: number
  readonly endpoint: Endpoint
}

/** What arrives on an ENI. */
export function eniIn(step: Step): Outcome {
  const { arrival } = step
  if (!step.has(mode.forward)) return step.ignore()
  const packet = read(arrival.packet, arrival.gsoSize ?? 0)
  const owner = packet.is === 'other' || packet.destination === undefined ? undefined : ownerOf(step, packet.destination)
  if (packet.is === 'other' || owner === undefined) return step.pass('none')
  if (packet.is === 'malformed') return step.drop('malformed')
  if (packet.kind === 'neighbour') return step.pass('none')
  if (packet.kind === 'error') return errorToPod(step, packet, owner.ifIndex, owner.endpoint)
  const ports = step.portsOf(packet)
  if (ports === undefined) return step.drop('fragment-without-first')
  return forward(step, { ...packet, ports }, owner)
}

/** Whose address it is, when it is a pod's whose ENI this is and whose packets do not belong to the host stack. */
export function ownerOf({ draft, arrival }: Step, ip: Ip): Owner | undefined {
  const address = draft.get('addresses', { ip })
  if (address?.state !== addressState.live) return undefined
  const endpoint = draft.get('endpoints', { ifIndex: address.endpoint })
  if (endpoint?.incarnation !== address.incarnation || endpoint.outIfIndex !== arrival.ifIndex) return undefined
  return { ifIndex: address.endpoint, endpoint }
}

function forward(step: Step, packet: Read, { ifIndex, endpoint }: Owner): Outcome {
  const moment = step.moment(packet)
  const side = receiverOf(step, packet, ifIndex, endpoint)
  // What arrives goes on with no choice.
  if (current(moment, side)?.way === flowWay.service) return step.pass('remoteViaHost')
  const found = goOn(moment, side)
  if (found.is === 'drop') return step.dropFor(found.reason)
  if (found.is === 'flow') return onward(step, packet, side, askedItself(found.flow))
  // The host stack may be translating it: pod_out judges what comes out of it, and makes the entry.
  if (!isSyn(packet) && (hasNote(step, side.key, endpoint) || step.has(mode.learn))) return step.pass('remoteViaHost')
  if (isEarly(moment)) return step.drop('service-translation-failed')
  const beginning = begin(moment, side)
  const flow = make(moment, side, flowWay.direct, beginning)
  return beginning.denied === undefined ? onward(step, packet, side, flow) : step.dropFor(beginning.denied)
}

function onward(step: Step, packet: Read, side: Side, flow: Flow): Outcome {
  if (flow.way === flowWay.host) {
    // Counted in pod_out; what policy says of it now is kept.
    store(step.draft, side.key, flow)
    return step.pass('remoteViaHost')
  }
  account(step.moment(packet), side, flow)
  if (step.size(packet) > side.endpoint.mtu) return step.pass('tooLong')
  if (!showAsked(step, packet, flow)) return step.drop('service-translation-failed')
  return step.deliver(side.ifIndex, side.endpoint, 'remoteToPod')
}
