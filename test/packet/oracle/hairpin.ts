// SPDX-License-Identifier: Apache-2.0
import { flowFlag, flowKind, flowState, flowWay } from '#kernel/bpf/words.ts'
import { full } from '../world.ts'
import { account, admits, current, type Flow, isSyn, place, type Side } from './flow.ts'
import type { FlowKey } from './policy.ts'
import type { Read } from './read.ts'
import { type Choice, keepChoice } from './service.ts'
import type { Outcome, Step } from './step.ts'
import { rewrite, showFrontend } from './translate.ts'

/** A pod that is its own backend: what it gets comes from the frontend's address, so that its answer has to be translated, too. */
export function toItself(step: Step, packet: Read, choice: Choice): Outcome {
  const { side, entry, backend } = choice
  const { frontend } = entry
  const from = rewrite(step, packet, { which: 'source', ip: packet.destination, port: packet.ports.source })
  const translated = from && rewrite(step, from, { which: 'destination', ip: backend.ip, port: backend.port })
  if (translated === undefined) return step.drop('service-translation-failed')
  const moment = step.moment(translated)
  const asked: Side = { ...side, key: hairpinKey(side.key, backend), remote: translated.source, sends: 'remote' }
  const found = current(moment, asked)
  const receiver = isAnswer(translated, asked, found) ? ({ ...asked, sends: 'local' } as const) : asked
  const goesOn = found !== undefined && (found.flags & flowFlag.hairpin) !== 0
  if (goesOn) keepChoice(step, choice, account(moment, receiver, { ...found, frontend }), receiver.sends === 'remote')
  else if (!admits(moment, side, false)) return step.drop('flow-limit')
  else account(moment, receiver, begun(step, receiver, frontend))
  return step.deliver(side.ifIndex, side.endpoint, 'hairpin')
}

/** With one port for all sides what the pod sees and what its backend sees would have one key. */
export function hairpinKey(sent: FlowKey, { port }: { readonly port: number }): FlowKey {
  const key = { ...sent, localPort: port, remotePort: sent.localPort }
  return key.localPort === sent.localPort && key.remotePort === sent.remotePort ? { ...key, kind: flowKind.backend } : key
}

/** Nobody can tell then who of the two speaks: the second packet is taken for an answer. */
function isAnswer(packet: Read, { key }: Side, flow: Flow | undefined): boolean {
  return key.kind !== flowKind.pod && flow !== undefined && (flow.flags & flowFlag.answered) === 0 && !isSyn(packet)
}

/** No policy is asked: a pod reaches itself. */
function begun({ draft, now }: Step, { key, endpoint }: Side, frontend: number): Flow {
  const flags = flowFlag.remoteFirst | flowFlag.hairpin
  const made = { seen: now, state: flowState.new, way: flowWay.direct, flags, frontend, localIncarnation: endpoint.incarnation }
  return place(draft, key, full('flows', made))
}

export function answerItself(step: Step, packet: Read, side: Side, flow: Flow): Outcome {
  account(step.moment(packet), side, flow)
  const back = rewrite(step, packet, { which: 'destination', ip: packet.source, port: packet.ports.destination })
  if (back === undefined || !showFrontend(step, back, flow.frontend)) return step.drop('service-translation-failed')
  return step.deliver(side.ifIndex, side.endpoint, 'hairpin')
}
