// SPDX-License-Identifier: Apache-2.0
import { flowWay, hostReason, mode, ownMark } from '#kernel/bpf/words.ts'
import { account, begin, flowKeyOf, goOn, isSyn, make, type Side, store } from './flow.ts'
import { enforces, isExempt } from './policy.ts'
import { type Read, read } from './read.ts'
import type { Endpoint, Outcome, Step } from './step.ts'

/** What the host stack hands to a pod. */
export function podOut(step: Step): Outcome {
  const { arrival, draft } = step
  const { ifIndex } = arrival
  if (arrival.mark === ownMark) return step.ignore(0)
  if (!step.has(mode.forward)) return step.ignore()
  const endpoint = draft.get('endpoints', { ifIndex })
  if (endpoint === undefined) return step.pass('none')
  step.count(ifIndex, 'rx')
  const packet = read(arrival.packet, arrival.gsoSize ?? 0)
  if (packet.is === 'other') return step.pass('none')
  if (packet.is === 'malformed') return step.drop('malformed')
  if (packet.destination !== (packet.family === 4 ? endpoint.address4 : endpoint.address6)) return step.pass('none')
  if (packet.kind === 'neighbour') return step.pass('none')
  if (packet.kind === 'error') return step.pass('icmpError')
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
  const found = goOn(moment, side)
  // The node's own word reaches its pods, whatever the flow was.
  if (found.is === 'drop' && !fromNode) return step.dropFor(found.reason)
  const goesOn = found.is === 'flow' && !(found.flow.way === flowWay.direct && isSyn(packet))
  if (!goesOn) {
    const beginning = begin(moment, side)
    const flow = make(moment, side, flowWay.host, beginning)
    if (beginning.denied !== undefined) return step.dropFor(beginning.denied)
    account(moment, side, flow)
  } else if (found.flow.way === flowWay.direct) {
    // Too long for the fast way, where it was counted; what policy says of it now is kept.
    store(draft, side.key, found.flow)
  } else account(moment, side, found.flow)
  return step.pass('hostToPod')
}
