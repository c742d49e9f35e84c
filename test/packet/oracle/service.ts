// SPDX-License-Identifier: Apache-2.0
import { flowFlag, flowState, flowWay, hostReason, mode, ownMark, serviceFlag } from '#kernel/bpf/words.ts'
import { full } from '../world.ts'
import { type Backend, backendOf, choose, isUsable, mayCome, type Service, serviceAt } from './choose.ts'
import type { Draft } from './draft.ts'
import { account, type Flow, findFlow, isOld, isOlder, isSyn, judge, place, remoteBegan, type Side, settles, store } from './flow.ts'
import { answerItself, hairpinKey, toItself } from './hairpin.ts'
import { isPorted, protocols, type Read } from './read.ts'
import { refusal } from './reject.ts'
import type { Outcome, Step } from './step.ts'
import { rewrite, showFrontend } from './translate.ts'

/** Which backend a pod's flow to a frontend goes to: `entry` is kept under the key of what the pod sends, which is that of `side`. */
export interface Choice {
  readonly side: Side
  readonly entry: Flow
  readonly backend: Backend
}

/** What becomes of a pod's packet that Services know: its end, or how it goes on. undefined: they do not know it. */
export type Served = { readonly outcome: Outcome } | { readonly choice: Choice; readonly packet: Read } | undefined

const secondsInUse = 60

/** A flow that means nothing where Services are not translated. */
export function isOfServices(flow: Flow): boolean {
  return flow.way === flowWay.service || (flow.flags & flowFlag.hairpin) !== 0
}

/** What the host stack translates without a connection, to a backend that is known to be gone. */
export function isForsaken(draft: Draft, { protocol }: Read, { way, backend }: Flow): boolean {
  return way === flowWay.host && backend !== 0 && !isUsable(backendOf(draft, backend), protocol)
}

export function serve(step: Step, packet: Read, side: Side, flow: Flow | undefined): Served {
  if (flow !== undefined && (flow.flags & flowFlag.hairpin) !== 0) return { outcome: answerItself(step, packet, side, flow) }
  if (flow !== undefined && remoteBegan(flow) && flow.frontend !== 0) return { outcome: answerClient(step, packet, side, flow) }
  if (flow !== undefined && flow.way !== flowWay.service) return undefined
  const backend = flow && backendOf(step.draft, flow.backend)
  if (
    flow !== undefined &&
    isUsable(backend, packet.protocol) &&
    (!isOld(step.now, side.key, flow) || goesOn(step, packet, side, flow, backend))
  ) {
    const entry = { ...flow, seen: step.now }
    store(step.draft, side.key, entry)
    return towards(step, packet, { side, entry, backend })
  }
  return serveAnew(step, packet, side)
}

/** Without a choice, or with one that cannot be kept. */
function serveAnew(step: Step, packet: Read, side: Side): Served {
  const { draft } = step
  const { protocol, destination: ip } = packet
  // What goes on in the middle may be translated by the host stack.
  if (!isPorted(protocol) || (step.has(mode.learn) && protocol === protocols.tcp && !isSyn(packet))) return undefined
  const service = serviceAt(draft, { ip, port: packet.ports.destination, protocol }, 'inside')
  if (service === undefined)
    return draft.longest('host_set', { ip })?.why === hostReason.serviceCidr ? { outcome: step.drop('service-unknown') } : undefined
  if (!mayCome(draft, service, packet.source)) return { outcome: step.drop('service-source-range') }
  const backend = choose(step, packet.source, side.key, service, b => isTaken(step, packet, side, service, b))
  if (backend === 'service-collision') return { outcome: step.drop(backend) }
  if (backend === 'service-without-backend') return { outcome: refuse(step, packet, service, ownMark) }
  return towards(step, packet, { side, backend, entry: makeChoice(step, side, service, backend) })
}

function makeChoice({ draft, now }: Step, { key, endpoint }: Side, { frontend }: Service, { id }: Backend): Flow {
  const made = { seen: now, state: flowState.new, way: flowWay.service, localIncarnation: endpoint.incarnation, backend: id, frontend }
  return place(draft, key, full('flows', made))
}

/** The flow that a choice leads to. A pod that is its own backend has it by the frontend. */
function flowOf(step: Step, packet: Read, { key, endpoint }: Side, backend: Backend): Flow | undefined {
  const moment = step.moment(packet)
  if (backend.ip !== packet.source) return findFlow(moment, { ...key, remote: backend.ip, remotePort: backend.port }, endpoint)
  const back = findFlow(moment, hairpinKey(key, backend), endpoint)
  return back !== undefined && (back.flags & flowFlag.hairpin) !== 0 ? back : undefined
}

/** Whether the other side has kept alive what the choice led to. */
function goesOn(step: Step, packet: Read, side: Side, choice: Flow, backend: Backend): boolean {
  const flow = flowOf(step, packet, side, backend)
  return flow !== undefined && flow.way !== flowWay.service && flow.frontend === choice.frontend
}

/** Whether the flow that the translation would make is another one's, which is in use. */
function isTaken(step: Step, packet: Read, side: Side, { frontend }: Service, backend: Backend): boolean {
  const inUse = (flow: Flow | undefined) => flow !== undefined && flow.frontend !== frontend && !isOlder(step.now, flow.seen, secondsInUse)
  const flow = flowOf(step, packet, side, backend)
  if (backend.ip === packet.source) return inUse(flow)
  if (flow?.state === flowState.denied || flow?.state === flowState.closing) return false
  return inUse(flow) && (packet.protocol !== protocols.tcp || isSyn(packet))
}

/** Nobody is there: another node may have somebody, else the sender is told, by the device that its packet is at. */
export function refuse(step: Step, packet: Read, { flags }: Service, mark: number): Outcome {
  const { ifIndex, gsoSize = 0 } = step.arrival
  const answer = (flags & serviceFlag.local) === 0 ? refusal(step.frame, packet, gsoSize) : undefined
  if (answer === undefined) return step.drop('service-without-backend')
  return step.answer('service-without-backend', answer, ifIndex, mark)
}

function towards(step: Step, packet: Read, choice: Choice): Served {
  const { ip, port } = choice.backend
  if (ip === packet.source) return { outcome: toItself(step, packet, choice) }
  const translated = rewrite(step, packet, { which: 'destination', ip, port })
  return translated === undefined ? { outcome: step.drop('service-translation-failed') } : { choice, packet: translated }
}

/** A choice goes on as its flow does. */
export function keepChoice({ draft }: Step, { side, entry }: Choice, flow: Flow, byInitiator = !remoteBegan(flow)): void {
  const state = flow.state === flowState.open || flow.state === flowState.closing ? flow.state : entry.state
  store(draft, side.key, { ...entry, state }, settles(side.key.protocol, flow, byInitiator))
}

/** What somebody asked of the node: the answer of a pod here leaves by the node's device, from the address that was asked. */
function answerClient(step: Step, packet: Read, side: Side, flow: Flow): Outcome {
  const moment = step.moment(packet)
  const found = judge(moment, side, flow)
  if (found.is !== 'flow') return step.dropFor(found.is === 'drop' ? found.reason : 0)
  account(moment, side, found.flow)
  if (!showFrontend(step, packet, flow.frontend)) return step.drop('service-translation-failed')
  return answerByNode(step)
}

export function answerByNode(step: Step): Outcome {
  return step.sendOut(step.draft.get('node_configs', { index: 0 })?.ifIndex ?? 0, 'podAnswersClient')
}
