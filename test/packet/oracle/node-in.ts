// SPDX-License-Identifier: Apache-2.0
import { mode } from '#kernel/bpf/words.ts'
import { macToBytes } from '#net/mac.ts'
import { nodeMac } from '../topology.ts'
import { eniIn, ownerOf } from './eni-in.ts'
import { isEarly } from './flow.ts'
import { ask } from './node-client.ts'
import { blame } from './node-error.ts'
import { answered, findNodeFlow, nodeKeyOf } from './node-flow.ts'
import { nodeAddress, sendByNode } from './node-pass.ts'
import { isPorted, protocols, type Read, read } from './read.ts'
import type { Outcome, Step } from './step.ts'
import { rewrite } from './translate.ts'

/** What arrives at the node's own device. */
export function nodeIn(step: Step): Outcome {
  if (isForAnother(step.arrival.packet)) return step.ignore()
  if (!step.has(mode.service)) return eniIn(step)
  const packet = read(step.arrival.packet, step.arrival.gsoSize ?? 0)
  if (packet.is !== 'packet') return step.ignore()
  const outcome = packet.kind === 'error' ? blame(step, packet) : withPorts(step, packet)
  if (outcome !== undefined) return outcome
  return step.has(mode.forward) && ownerOf(step, packet.destination) !== undefined ? eniIn(step) : step.ignore()
}

/** To one machine, and not to this one. */
function isForAnother(frame: Buffer): boolean {
  return ((frame[0] ?? 0) & 1) === 0 && !frame.subarray(0, 6).equals(macToBytes(nodeMac))
}

/** A fragment is asked for its ports, but leaves a word for those that follow only when it is a client's or an answer to one. */
function withPorts(step: Step, packet: Read): Outcome | undefined {
  if (!isPorted(packet.protocol)) return undefined
  const ports = packet.fragment?.later === true ? step.portsOf(packet) : packet.ports
  if (ports === undefined) return undefined
  const whole = { ...packet, ports }
  return isAnswer(step, whole) ? answer(step, whole) : ask(step, whole)
}

function isAnswer({ draft }: Step, { destination, protocol, ports }: Read): boolean {
  const { natPortFirst, natPortLast } = draft.get('node_configs', { index: 0 }) ?? { natPortFirst: 0, natPortLast: 0 }
  const isOurs = destination === nodeAddress(draft, destination)
  return protocol !== protocols.sctp && isOurs && ports.destination >= natPortFirst && ports.destination <= natPortLast
}

/** Of a backend elsewhere. */
function answer(step: Step, packet: Read): Outcome | undefined {
  const key = nodeKeyOf(packet, 'remote', 'backend')
  const flow = findNodeFlow(step, key)
  if (flow === undefined) return isEarly(step.moment(packet)) ? step.drop('service-translation-failed') : undefined
  if (flow.natPort === 0) return undefined
  step.portsOf(packet)
  const seen = answered(step, packet, key, flow)
  if (seen?.ip === undefined || flow.client === undefined) return step.drop('service-translation-failed')
  const from = rewrite(step, packet, { which: 'source', ip: seen.ip, port: seen.port })
  const both = from && rewrite(step, from, { which: 'destination', ip: flow.client, port: flow.clientPort })
  return both === undefined ? step.drop('service-translation-failed') : sendByNode(step, 'remoteAnswersClient', flow.client)
}
