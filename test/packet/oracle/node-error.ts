// SPDX-License-Identifier: Apache-2.0
import { flowKind, mode } from '#kernel/bpf/words.ts'
import type { Ip } from '#net/ip.ts'
import { backendOf } from './choose.ts'
import { findNodeFlow, type NodeFlow } from './node-flow.ts'
import { nodeAddress, placeOf, sendByNode } from './node-pass.ts'
import type { Carried, Read } from './read.ts'
import type { Outcome, Step } from './step.ts'
import { rewrite, translatedInside } from './translate.ts'

interface End {
  readonly ip: Ip
  readonly port: number
}
interface Sent {
  readonly source: End
  readonly destination: End
}

/** An ICMP error about a packet that the node has translated goes to whoever sent that, about what he sent; undefined: about no such packet. */
export function blame(step: Step, packet: Read): Outcome | undefined {
  const { carried } = packet
  if (packet.fragment !== undefined || carried?.portsAt === undefined) return undefined
  const { source: local, destination: remote, protocol, ports } = carried
  const key = { local, remote, localPort: ports.source, remotePort: ports.destination, protocol, spare: 0 }
  const towards = findNodeFlow(step, { ...key, kind: flowKind.backend })
  if (towards !== undefined && towards.natPort !== 0) return toClient(step, packet, carried, towards)
  const back = findNodeFlow(step, { ...key, kind: flowKind.client })
  return back && toBackend(step, packet, carried, back)
}

/** It left the node for a backend elsewhere. */
function toClient(step: Step, packet: Read, carried: Carried, flow: NodeFlow): Outcome {
  const seen = step.draft.get('frontends', { frontend: flow.frontend })
  if (seen?.ip === undefined || flow.client === undefined) return step.drop('service-translation-failed')
  const sent = { source: { ip: flow.client, port: flow.clientPort }, destination: { ip: seen.ip, port: seen.port } }
  return tell(step, packet, carried, sent) === undefined
    ? step.drop('service-translation-failed')
    : sendByNode(step, 'remoteAnswersClient', flow.client)
}

/** It left the node for a client, and is of a backend: of one here or on the node, or of one elsewhere, which has to do with the node only. */
function toBackend(step: Step, packet: Read, carried: Carried, flow: NodeFlow): Outcome | undefined {
  const source = backendOf(step.draft, flow.backend)
  if (source === undefined) return undefined
  const own = nodeAddress(step.draft, packet.source)
  if (flow.natPort === 0) {
    const destination = { ip: carried.destination, port: carried.ports.destination }
    const told = tell(step, packet, carried, { source, destination })
    if (told === undefined) return step.drop('service-translation-failed')
    const place = placeOf(step, source.ip)
    const fits = place.is === 'pod' && step.has(mode.forward) && step.size(packet) <= place.endpoint.mtu
    return fits ? step.deliver(place.ifIndex, place.endpoint, 'nodeToPod') : step.pass('icmpError')
  }
  if (own === undefined) return undefined
  const told = tell(step, packet, carried, { source, destination: { ip: own, port: flow.natPort } })
  const sent = told && rewrite(step, told, { which: 'source', ip: own, port: 0 })
  return sent === undefined ? step.drop('service-translation-failed') : sendByNode(step, 'nodeToRemote', source.ip)
}

function tell(step: Step, packet: Read, carried: Carried, { source, destination }: Sent): Read | undefined {
  const half = translatedInside(step.frame, packet, carried, { which: 'source', ...source })
  step.frame = translatedInside(half, packet, carried, { which: 'destination', ...destination })
  return rewrite(step, packet, { which: 'destination', ip: source.ip, port: 0 })
}
