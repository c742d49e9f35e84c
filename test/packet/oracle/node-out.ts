// SPDX-License-Identifier: Apache-2.0
import { mode } from '#kernel/bpf/words.ts'
import { serviceAt } from './choose.ts'
import { isSyn } from './flow.ts'
import { answered, findNodeFlow, nodeKeyOf } from './node-flow.ts'
import { isPorted, protocols, type Read, read } from './read.ts'
import { refuse } from './service.ts'
import type { Outcome, Step } from './step.ts'
import { rewrite } from './translate.ts'

/** What the node sends by its own device. */
export function nodeOut(step: Step): Outcome {
  const { packet: bytes, ingressIfIndex = 0, gsoSize = 0 } = step.arrival
  if (!step.has(mode.service) || ingressIfIndex !== 0) return step.ignore()
  const packet = read(bytes, gsoSize)
  if (packet.is !== 'packet' || !isPorted(packet.protocol)) return step.ignore()
  const ports = packet.fragment?.later === true ? step.portsOf(packet) : packet.ports
  if (ports === undefined) return step.ignore()
  const whole = { ...packet, ports }
  return answer(step, whole) ?? askNobody(step, whole) ?? step.ignore()
}

/** Of a socket of the node, to a client that asked for a Service. */
function answer(step: Step, packet: Read): Outcome | undefined {
  const key = nodeKeyOf(packet, 'local', 'backend')
  const flow = findNodeFlow(step, key)
  if (flow === undefined || flow.natPort !== 0) return undefined
  step.portsOf(packet)
  const seen = answered(step, packet, key, flow)
  const after = seen?.ip && rewrite(step, packet, { which: 'source', ip: seen.ip, port: seen.port })
  return after ? step.pass('hostAnswersClient') : step.drop('service-translation-failed')
}

/** Sockets are translated before there is a packet, unless there is nobody to translate to. */
function askNobody(step: Step, packet: Read): Outcome | undefined {
  if (!isSyn(packet) && packet.protocol !== protocols.udp) return undefined
  const { destination: ip, protocol, ports } = packet
  const service = serviceAt(step.draft, { ip, port: ports.destination, protocol }, 'inside')
  if (service === undefined || (step.draft.get('backend_sets', { set: service.set })?.count ?? 0) > 0) return undefined
  return refuse(step, packet, service, 0)
}
