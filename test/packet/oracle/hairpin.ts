// SPDX-License-Identifier: Apache-2.0
import { flowFlag, flowState, flowWay } from '#kernel/bpf/words.ts'
import { full } from '../world.ts'
import { account, admits, current, type Flow, flowKeyOf, place, type Side } from './flow.ts'
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
  const receiver: Side = { ...side, key: flowKeyOf(translated, 'remote'), remote: translated.source, sends: 'remote' }
  const found = current(moment, receiver)
  const goesOn = found !== undefined && (found.flags & flowFlag.hairpin) !== 0
  if (goesOn) keepChoice(step, choice, account(moment, receiver, { ...found, frontend }))
  else if (!admits(moment, side, false)) return step.drop('flow-limit')
  else account(moment, receiver, begun(step, receiver, frontend))
  return step.deliver(side.ifIndex, side.endpoint, 'hairpin')
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
