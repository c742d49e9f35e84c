// SPDX-License-Identifier: Apache-2.0
import { addressState, flowWay, mode } from '#kernel/bpf/words.ts'
import { macFromBytes } from '#net/mac.ts'
import {
  account,
  askedItself,
  begin,
  current,
  type Flow,
  type Found,
  findFlow,
  flowKeyOf,
  goOn,
  isEarly,
  isSyn,
  judge,
  make,
  remoteBegan,
  type Side,
  store,
} from './flow.ts'
import { errorOfPod } from './pod-error.ts'
import { isExempt } from './policy.ts'
import { type Read, read } from './read.ts'
import { receiverOf } from './receiver.ts'
import { type Choice, isForsaken, isOfServices, keepChoice, serve } from './service.ts'
import { type Endpoint, isLinkLocal, isMulticast, type Outcome, type Step, unspecified6 } from './step.ts'
import { showAsked } from './translate.ts'

/** What a pod sends. */
export function podIn(step: Step): Outcome {
  const { arrival, draft } = step
  const { ifIndex } = arrival
  if (step.mode === 0) return step.ignore()
  const endpoint = draft.get('endpoints', { ifIndex })
  if (endpoint === undefined) return step.pass('none')
  step.count(ifIndex, 'tx')
  const packet = read(arrival.packet, arrival.gsoSize ?? 0)
  if (packet.is === 'other') return packet.tagged && step.has(mode.guard) ? step.drop('malformed') : step.pass('none')
  if (packet.is === 'malformed') return step.drop('malformed')
  const stopped = step.has(mode.guard) ? guard(step, packet, endpoint) : isOwn(packet, endpoint) ? undefined : step.pass('none')
  if (stopped !== undefined) return stopped
  if (!step.has(mode.forward) && !step.has(mode.service)) return step.pass('none')
  if (packet.kind === 'neighbour')
    return draft.get('addresses', { ip: packet.destination }) ? step.drop('neighbour-discovery') : step.pass('none')
  if (packet.kind === 'error') return errorOfPod(step, packet, endpoint)
  const ports = step.portsOf(packet)
  // A node that does not forward has the host stack put fragments in order.
  if (ports === undefined) return step.has(mode.forward) ? step.drop('fragment-without-first') : step.pass('none')
  return forward(step, { ...packet, ports }, endpoint)
}

function isOwn({ family, source }: Read, endpoint: Endpoint): boolean {
  return source === (family === 4 ? endpoint.address4 : endpoint.address6)
}

/** What ends here: forged addresses, and what a pod says on its link before it has an address. */
function guard(step: Step, packet: Read, endpoint: Endpoint): Outcome | undefined {
  if (macFromBytes(step.arrival.packet.subarray(6, 12)) !== endpoint.podMac) return step.drop('spoofed-mac')
  if (isOwn(packet, endpoint)) return undefined
  const { family, source, destination } = packet
  const onLink = family === 6 && (isLinkLocal(source) || source === unspecified6) && (isLinkLocal(destination) || isMulticast(destination))
  return onLink ? step.pass('none') : step.drop('spoofed-source')
}

function forward(step: Step, packet: Read, endpoint: Endpoint): Outcome {
  const own = senderOf(step, packet, endpoint)
  const known = current(step.moment(packet), own, true)
  const flow = known && step.has(mode.service) && isForsaken(step.draft, packet, known) ? undefined : known
  const served = step.has(mode.service) ? serve(step, packet, own, flow) : undefined
  if (served !== undefined && 'outcome' in served) return served.outcome
  if (served !== undefined) {
    const translated = senderOf(step, served.packet, endpoint)
    const known = current(step.moment(served.packet), translated)
    return send(step, served.packet, translated, known?.way === flowWay.service ? undefined : known, served.choice)
  }
  return send(step, packet, own, flow && isOfServices(flow) ? undefined : flow)
}

function senderOf({ draft, arrival: { ifIndex } }: Step, packet: Read, endpoint: Endpoint): Side {
  const remote = packet.destination
  return { ifIndex, endpoint, key: flowKeyOf(packet, 'local'), remote, sends: 'local', exempt: way => isExempt(draft, way, remote) }
}

/** By the flow that is known, or by a new one; `choice`: the packet has been translated. */
function send(step: Step, packet: Read, side: Side, known: Flow | undefined, choice?: Choice): Outcome {
  if (!step.has(mode.forward)) return sendByHost(step, packet, side, known, choice)
  const moment = step.moment(packet)
  // Nothing is asked about a pod that speaks to itself.
  const found: Found = known !== undefined && isOfServices(known) ? { is: 'flow', flow: known } : judge(moment, side, known)
  if (found.is === 'drop') return step.dropFor(found.reason)
  if (found.is === 'flow') {
    const answers = remoteBegan(found.flow)
    return onward(step, packet, { side, choice, path: 'podViaHost', answers }, asked(found.flow, choice))
  }
  const { way, path, peer } = wayOf(step, packet)
  const beginning = begin(moment, side)
  const flow = make(moment, side, flowWay[way], beginning, { ...(peer && { peer }), frontend: choice?.entry.frontend ?? 0 })
  if (beginning.denied !== undefined) return step.dropFor(beginning.denied)
  return onward(step, packet, { side, choice: undefined, path, answers: false }, flow)
}

/** Whom the pod asked last by this flow: a frontend, or the other side itself. */
function asked(flow: Flow, choice: Choice | undefined): Flow {
  return remoteBegan(flow) ? flow : { ...flow, frontend: choice?.entry.frontend ?? 0 }
}

/** On a node that does not forward only what is translated is remembered. */
function sendByHost(step: Step, packet: Read, side: Side, known: Flow | undefined, choice?: Choice): Outcome {
  const moment = step.moment(packet)
  if (choice !== undefined) {
    if (known !== undefined) track(step, packet, { side, choice }, asked(known, choice))
    else {
      const beginning = begin(moment, side)
      const flow = make(moment, side, flowWay.host, beginning, { frontend: choice.entry.frontend })
      if (beginning.denied !== undefined) return step.dropFor(beginning.denied)
      account(moment, side, flow)
    }
    return step.pass('podViaHost')
  }
  // Its answers are no Service's any more.
  const old = findFlow(moment, side.key, side.endpoint)
  if (old !== undefined && !isOfServices(old) && asked(old, undefined).frontend !== old.frontend)
    store(step.draft, side.key, asked(old, undefined))
  return step.pass('none')
}

interface WayOut {
  readonly way: 'direct' | 'host'
  /** Of the first packet, when the host stack carries it. */
  readonly path: 'podToHost' | 'podViaHost'
  readonly peer?: { readonly ifIndex: number; readonly incarnation: number }
}

function wayOf(step: Step, packet: Read): WayOut {
  const { draft } = step
  const ip = packet.destination
  if (draft.longest('host_set', { ip }) !== undefined) return { way: 'host', path: 'podToHost' }
  const address = draft.get('addresses', { ip })
  const viaHost: WayOut = { way: 'host', path: 'podViaHost' }
  if (address?.state === addressState.stack) return viaHost
  if (step.has(mode.learn) && !isSyn(packet)) return viaHost
  const ifIndex = address?.endpoint ?? 0
  const peer = draft.get('endpoints', { ifIndex })
  const here = address?.state === addressState.live && peer?.incarnation === address.incarnation && ifIndex !== step.arrival.ifIndex
  return { way: 'direct', path: 'podViaHost', ...(here && { peer: { ifIndex, incarnation: address.incarnation } }) }
}

/** A packet that leaves a pod; `choice` led it to a flow that was there before. */
interface Leaving {
  readonly side: Side
  readonly choice: Choice | undefined
}
interface Onward extends Leaving {
  readonly path: WayOut['path']
  readonly answers: boolean
}

/** The sender's entry, and the choice that led to it. */
function track(step: Step, packet: Read, { side, choice }: Leaving, flow: Flow): void {
  const after = account(step.moment(packet), side, flow)
  if (choice !== undefined) keepChoice(step, choice, after)
}

/** A flow that is allowed, on its way. */
function onward(step: Step, packet: Read, leaving: Onward, flow: Flow): Outcome {
  const { side, answers, path } = leaving
  if (flow.way === flowWay.host) {
    track(step, packet, leaving, flow)
    // What the other side began is answered by nobody else.
    if (!answers) note(step, packet, side, flow)
    return step.pass(path)
  }
  if (flow.peer !== 0) return toPod(step, packet, leaving, flow)
  track(step, packet, leaving, flow)
  const { outMtu, outIfIndex, gateway4, gateway6 } = side.endpoint
  if (step.size(packet) > outMtu) return step.pass('tooLong')
  if ((packet.family === 4 ? gateway4 : gateway6) === undefined) return step.pass('none')
  return step.sendOut(outIfIndex, 'podToRemote')
}

/** Answers may come from another address than this one, when the host stack translates: they are known by the port. */
function note({ draft, now }: Step, packet: Read, { key, endpoint }: Side, { frontend }: Flow): void {
  if (frontend !== 0 || isLinkLocal(packet.destination) || isMulticast(packet.destination)) return
  const { local, localPort, protocol } = key
  const isEcho =
    packet.kind === 'echo' || (packet.fragment?.later === true && protocol === (packet.family === 4 ? 1 : 58) && localPort !== 0)
  if (![6, 17, 132].includes(protocol) && !isEcho) return
  draft.put('host_notes', { local, localPort, protocol, spare: 0 }, { seen: now, incarnation: endpoint.incarnation })
}

/** To a pod of this node, whose own entry and policy count as well. */
function toPod(step: Step, packet: Read, leaving: Leaving, flow: Flow): Outcome {
  const { draft } = step
  const moment = step.moment(packet)
  const endpoint = draft.get('endpoints', { ifIndex: flow.peer })
  if (endpoint === undefined) return step.pass('none')
  const receiver = receiverOf(step, packet, flow.peer, endpoint)
  const sender = leaving.side
  const found = goOn(moment, receiver)
  if (found.is === 'flow' && found.flow.way === flowWay.host && !isSyn(packet)) {
    // The host stack carries it: pod_out counts it for the receiver.
    store(draft, receiver.key, found.flow)
    track(step, packet, leaving, { ...flow, way: flowWay.host })
    note(step, packet, sender, flow)
    return step.pass('podViaHost')
  }
  track(step, packet, leaving, flow)
  if (found.is === 'drop') return step.dropFor(found.reason)
  let received: Flow
  // A SYN that came by the host stack before begins again on the direct way.
  if (found.is === 'new' || found.flow.way === flowWay.host) {
    if (isEarly(moment)) return step.drop('service-translation-failed')
    const beginning = begin(moment, receiver)
    const peer = { ifIndex: sender.ifIndex, incarnation: sender.endpoint.incarnation }
    received = make(moment, receiver, flowWay.direct, beginning, { peer })
    if (beginning.denied !== undefined) return step.dropFor(beginning.denied)
  } else received = askedItself(found.flow)
  account(moment, receiver, received)
  if (step.size(packet) > endpoint.mtu) return step.pass('tooLong')
  if (!showAsked(step, packet, received)) return step.drop('service-translation-failed')
  return step.deliver(flow.peer, endpoint, 'podToPod')
}
