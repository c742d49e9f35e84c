// SPDX-License-Identifier: Apache-2.0
import { addressState, flowFlag, flowWay, mode } from '#kernel/bpf/words.ts'
import { macFromBytes } from '#net/mac.ts'
import { account, begin, type Flow, flowKeyOf, goOn, isSyn, make, type Side, store } from './flow.ts'
import { icmpError } from './icmp.ts'
import { isExempt } from './policy.ts'
import { type Read, read } from './read.ts'
import { type Endpoint, isLinkLocal, isMulticast, type Outcome, type Step, unspecified6 } from './step.ts'

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
  if (!step.has(mode.forward)) return step.pass('none')
  if (packet.kind === 'neighbour')
    return draft.get('addresses', { ip: packet.destination }) ? step.drop('neighbour-discovery') : step.pass('none')
  if (packet.kind === 'error') return icmpError(step, packet, ifIndex, endpoint, 'out')
  const ports = step.portsOf(packet)
  if (ports === undefined) return step.drop('fragment-without-first')
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
  const { draft } = step
  const { ifIndex } = step.arrival
  const moment = step.moment(packet)
  const remote = packet.destination
  const side: Side = {
    ifIndex,
    endpoint,
    key: flowKeyOf(packet, 'local'),
    remote,
    sends: 'local',
    exempt: way => isExempt(draft, way, remote),
  }
  const found = goOn(moment, side)
  if (found.is === 'drop') return step.dropFor(found.reason)
  if (found.is === 'new') {
    const { way, path, peer } = wayOf(step, packet)
    const beginning = begin(moment, side)
    const flow = make(moment, side, flowWay[way], beginning, peer)
    if (beginning.denied !== undefined) return step.dropFor(beginning.denied)
    return onward(step, packet, side, flow, path)
  }
  const answers = (found.flow.flags & flowFlag.remoteFirst) !== 0
  return onward(step, packet, side, found.flow, 'podViaHost', answers)
}

interface Choice {
  readonly way: 'direct' | 'host'
  /** Of the first packet, when the host stack carries it. */
  readonly path: 'podToHost' | 'podViaHost'
  readonly peer?: { readonly ifIndex: number; readonly incarnation: number }
}

function wayOf(step: Step, packet: Read): Choice {
  const { draft } = step
  const ip = packet.destination
  if (draft.longest('host_set', { ip }) !== undefined) return { way: 'host', path: 'podToHost' }
  const address = draft.get('addresses', { ip })
  const viaHost: Choice = { way: 'host', path: 'podViaHost' }
  if (address?.state === addressState.stack) return viaHost
  if (step.has(mode.learn) && !isSyn(packet)) return viaHost
  const ifIndex = address?.endpoint ?? 0
  const peer = draft.get('endpoints', { ifIndex })
  const here = address?.state === addressState.live && peer?.incarnation === address.incarnation && ifIndex !== step.arrival.ifIndex
  return { way: 'direct', path: 'podViaHost', ...(here && { peer: { ifIndex, incarnation: address.incarnation } }) }
}

/** A flow that is allowed, on its way. */
function onward(step: Step, packet: Read, side: Side, flow: Flow, path: Choice['path'], answers = false): Outcome {
  const moment = step.moment(packet)
  if (flow.way === flowWay.host) {
    account(moment, side, flow)
    // What the other side began is answered by nobody else.
    if (!answers) note(step, packet, side)
    return step.pass(path)
  }
  if (flow.peer !== 0) return toPod(step, packet, side, flow)
  account(moment, side, flow)
  const { outMtu, outIfIndex, gateway4, gateway6 } = side.endpoint
  if (step.size(packet) > outMtu) return step.pass('tooLong')
  if ((packet.family === 4 ? gateway4 : gateway6) === undefined) return step.pass('none')
  return step.sendOut(outIfIndex, 'podToRemote')
}

/** Answers may come from another address than this one, when the host stack translates: they are known by the port. */
function note({ draft, now }: Step, packet: Read, { key, endpoint }: Side): void {
  if (isLinkLocal(packet.destination) || isMulticast(packet.destination)) return
  const { local, localPort, protocol } = key
  const isEcho =
    packet.kind === 'echo' || (packet.fragment?.later === true && protocol === (packet.family === 4 ? 1 : 58) && localPort !== 0)
  if (![6, 17, 132].includes(protocol) && !isEcho) return
  draft.put('host_notes', { local, localPort, protocol, spare: 0 }, { seen: now, incarnation: endpoint.incarnation })
}

/** To a pod of this node, whose own entry and policy count as well. */
function toPod(step: Step, packet: Read, sender: Side, flow: Flow): Outcome {
  const { draft } = step
  const moment = step.moment(packet)
  const endpoint = draft.get('endpoints', { ifIndex: flow.peer })
  if (endpoint === undefined) return step.pass('none')
  const remote = packet.source
  const receiver: Side = {
    ifIndex: flow.peer,
    endpoint,
    key: flowKeyOf(packet, 'remote'),
    remote,
    sends: 'remote',
    exempt: (way, when) => when === 'again' && isExempt(draft, way, remote),
  }
  const found = goOn(moment, receiver)
  if (found.is === 'flow' && found.flow.way === flowWay.host && !isSyn(packet)) {
    // The host stack carries it: pod_out counts it for the receiver.
    store(draft, receiver.key, found.flow)
    account(moment, sender, { ...flow, way: flowWay.host })
    note(step, packet, sender)
    return step.pass('podViaHost')
  }
  account(moment, sender, flow)
  if (found.is === 'drop') return step.dropFor(found.reason)
  // A SYN that came by the host stack before begins again on the direct way.
  if (found.is === 'new' || found.flow.way === flowWay.host) {
    const beginning = begin(moment, receiver)
    const made = make(moment, receiver, flowWay.direct, beginning, { ifIndex: sender.ifIndex, incarnation: sender.endpoint.incarnation })
    if (beginning.denied !== undefined) return step.dropFor(beginning.denied)
    account(moment, receiver, made)
  } else account(moment, receiver, found.flow)
  if (step.size(packet) > endpoint.mtu) return step.pass('tooLong')
  return step.deliver(flow.peer, endpoint, 'podToPod')
}
