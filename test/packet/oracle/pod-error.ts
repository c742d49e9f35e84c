// SPDX-License-Identifier: Apache-2.0
import { flowFlag, flowState, flowWay, mode } from '#kernel/bpf/words.ts'
import type { Ip } from '#net/ip.ts'
import { backendOf } from './choose.ts'
import { type Flow, findFlow, flowKeyOf, remoteBegan } from './flow.ts'
import { flowOf, isRelated, showAskedInside } from './icmp.ts'
import { enforces } from './policy.ts'
import type { Carried, Read } from './read.ts'
import { answerByNode, isOfServices } from './service.ts'
import type { Endpoint, Outcome, Step } from './step.ts'
import { rewrite, translatedInside } from './translate.ts'

/** What a pod says about a packet that it got goes back to whoever sent that, about what he sent. */
export function errorOfPod(step: Step, packet: Read, endpoint: Endpoint): Outcome {
  const { ifIndex } = step.arrival
  const enforced = enforces(step.draft, ifIndex, 'out')
  if (enforced && !isRelated(step, packet, endpoint, 'out')) return step.drop('icmp-unrelated')
  const { carried } = packet
  const flow = flowOf(step, packet, endpoint, 'out')
  if (carried === undefined || flow === undefined) return step.pass('icmpError')
  if (!step.has(mode.service)) return onward(step, packet, carried, flow)
  if (remoteBegan(flow) && flow.frontend !== 0 && !isOfServices(flow)) return toClient(step, packet, carried, flow)
  if (!isOfServices(flow)) return onward(step, packet, carried, flow)
  const sent = sentTo(step, packet, carried, flow)
  if (sent === 'nothing') return step.pass('icmpError')
  if (sent === undefined) return step.drop('service-translation-failed')
  if (sent.carried.source === packet.source) return step.deliver(ifIndex, endpoint, 'hairpin')
  const translated = { ...sent.packet, carried: sent.carried }
  if (enforced && !isRelated(step, translated, endpoint, 'out')) return step.drop('icmp-unrelated')
  const its = findFlow(step.moment(packet), flowKeyOf(sent.carried, 'remote'), endpoint)
  return its === undefined ? step.pass('icmpError') : onward(step, translated, sent.carried, its)
}

/** A client of the node asked for the frontend. */
function toClient(step: Step, packet: Read, carried: Carried, { frontend }: Flow): Outcome {
  const front = step.draft.get('frontends', { frontend })
  if (front?.ip === undefined) return step.drop('service-translation-failed')
  const { ip, port } = front
  step.frame = translatedInside(step.frame, packet, carried, { which: 'destination', ip, port })
  return rewrite(step, packet, { which: 'source', ip, port }) ? answerByNode(step) : step.drop('service-translation-failed')
}

interface End {
  readonly ip: Ip
  readonly port: number
}

/** The error as it is about what a backend sent, or the pod itself: `nothing` when the backend is unknown, undefined when it cannot be said. */
function sentTo(step: Step, packet: Read, carried: Carried, flow: Flow) {
  const { source: frontendIp, ports } = carried
  const pod = packet.source
  if (flow.way === flowWay.service) {
    const backend = backendOf(step.draft, flow.backend)
    if (backend === undefined) return 'nothing'
    return told(step, packet, carried, backend, backend.ip === pod ? { ip: frontendIp, port: ports.destination } : undefined)
  }
  const front = step.draft.get('frontends', { frontend: flow.frontend })
  return front && told(step, packet, carried, { ip: pod, port: ports.source }, { ip: frontendIp, port: front.port })
}

function told(step: Step, packet: Read, carried: Carried, source: End, itself: End | undefined) {
  step.frame = translatedInside(step.frame, packet, carried, { which: 'source', ...source })
  if (itself) step.frame = translatedInside(step.frame, packet, carried, { which: 'destination', ...itself })
  const from = itself ? rewrite(step, packet, { which: 'source', ...itself }) : packet
  const both = from && rewrite(step, from, { which: 'destination', ...source })
  return (
    both && {
      packet: { ...packet, destination: source.ip },
      carried: { ...carried, source: source.ip, ports: { ...carried.ports, source: source.port } },
    }
  )
}

/** By the way of the flow, when it is sent to who sent what it is about. */
function onward(step: Step, packet: Read, carried: Carried, flow: Flow): Outcome {
  const { way, state, flags, peer } = flow
  const isDirect = step.has(mode.forward) && way === flowWay.direct && state !== flowState.denied && (flags & flowFlag.hairpin) === 0
  if (!isDirect || packet.destination !== carried.source) return step.pass('icmpError')
  if (peer !== 0) return toPod(step, packet, carried, peer)
  const endpoint = step.draft.get('endpoints', { ifIndex: step.arrival.ifIndex })
  if (endpoint === undefined || step.size(packet) > endpoint.outMtu) return step.pass('tooLong')
  if ((packet.family === 4 ? endpoint.gateway4 : endpoint.gateway6) === undefined) return step.pass('none')
  return step.sendOut(endpoint.outIfIndex, 'podToRemote')
}

function toPod(step: Step, packet: Read, carried: Carried, ifIndex: number): Outcome {
  const endpoint = step.draft.get('endpoints', { ifIndex })
  const flow = endpoint && findFlow(step.moment(packet), flowKeyOf(carried, 'local'), endpoint)
  if (endpoint === undefined || flow?.way !== flowWay.direct || flow.state === flowState.denied) return step.pass('icmpError')
  if (step.size(packet) > endpoint.mtu) return step.pass('icmpError')
  return showAskedInside(step, packet, flow) ? step.deliver(ifIndex, endpoint, 'podToPod') : step.drop('service-translation-failed')
}
