// SPDX-License-Identifier: Apache-2.0
import { flowWay, hostReason, mode, ownMark } from '#kernel/bpf/words.ts'
import {
  account,
  askedItself,
  begin,
  current,
  type Flow,
  flowKeyOf,
  isEarly,
  isSyn,
  judge,
  make,
  remoteBegan,
  type Side,
  store,
} from './flow.ts'
import { icmpErrorToPod } from './icmp.ts'
import { enforces, isExempt } from './policy.ts'
import { type Read, read } from './read.ts'
import { isOfServices } from './service.ts'
import type { Endpoint, Outcome, Step } from './step.ts'
import { showAsked } from './translate.ts'

/** What the host stack hands to a pod. */
export function podOut(step: Step): Outcome {
  const { arrival, draft } = step
  const { ifIndex } = arrival
  if (arrival.mark === ownMark) return step.ignore(0)
  if (!step.has(mode.forward) && !step.has(mode.service)) return step.ignore()
  const endpoint = draft.get('endpoints', { ifIndex })
  if (endpoint === undefined) return step.pass('none')
  step.count(ifIndex, 'rx')
  const packet = read(arrival.packet, arrival.gsoSize ?? 0)
  if (packet.is === 'other') return step.pass('none')
  if (packet.is === 'malformed') return step.drop('malformed')
  if (packet.destination !== (packet.family === 4 ? endpoint.address4 : endpoint.address6)) return step.pass('none')
  if (packet.kind === 'neighbour') return step.pass('none')
  if (packet.kind === 'error') return icmpErrorToPod(step, packet, endpoint)
  const ports = step.portsOf(packet)
  if (ports === undefined) return enforces(draft, ifIndex, 'in') ? step.drop('fragment-without-first') : step.pass('none')
  return hand(step, { ...packet, ports }, endpoint)
}

function hand(step: Step, packet: Read, endpoint: Endpoint): Outcome {
  const { draft } = step
  const { ifIndex, ingressIfIndex = 0 } = step.arrival
  const moment = step.moment(packet)
  const remote = packet.source
  const fromNode = ingressIfIndex === 0 || draft.longest('host_set', { ip: remote })?.why === hostReason.node
  const side: Side = {
    ifIndex,
    endpoint,
    key: flowKeyOf(packet, 'remote'),
    remote,
    sends: 'remote',
    exempt: way => (way === 'in' ? fromNode : isExempt(draft, way, remote)),
  }
  const known = current(moment, side)
  if (!step.has(mode.forward)) return handTranslated(step, packet, side, known)
  // What is handed over goes on with no choice.
  if (known?.way === flowWay.service) return step.pass('hostToPod')
  const found = judge(moment, side, known)
  // The node's own word reaches its pods, whatever the flow was.
  if (found.is === 'drop' && !fromNode) return step.dropFor(found.reason)
  const goesOn = found.is === 'flow' && !(found.flow.way === flowWay.direct && isSyn(packet))
  if (!goesOn) {
    if (found.is === 'new' && isEarly(moment)) return step.drop('service-translation-failed')
    const beginning = begin(moment, side)
    const flow = make(moment, side, flowWay.host, beginning)
    if (beginning.denied !== undefined) return step.dropFor(beginning.denied)
    account(moment, side, flow)
  } else {
    // Too long for the fast way, where it was counted; what policy says of it now is kept.
    if (found.flow.way === flowWay.direct) store(draft, side.key, found.flow)
    else account(moment, side, found.flow)
    if (!showAsked(step, packet, found.flow)) return step.drop('service-translation-failed')
  }
  return step.pass('hostToPod')
}

/** On a node that does not forward: only what a program translates has been remembered. */
function handTranslated(step: Step, packet: Read, side: Side, flow: Flow | undefined): Outcome {
  if (flow === undefined || flow.frontend === 0 || isOfServices(flow)) return step.pass('none')
  // What the node translates comes in by its own device.
  if (remoteBegan(flow) && step.arrival.ingressIfIndex !== step.draft.get('node_configs', { index: 0 })?.ifIndex) {
    store(step.draft, side.key, askedItself(flow))
    return step.pass('none')
  }
  account(step.moment(packet), side, flow)
  return showAsked(step, packet, flow) ? step.pass('hostToPod') : step.drop('service-translation-failed')
}
