// SPDX-License-Identifier: Apache-2.0
import { flowState } from '#kernel/bpf/words.ts'
import { findFlow, isOlder, openTimeout } from './flow.ts'
import { type Direction, enforces, type FlowKey } from './policy.ts'
import type { Read } from './read.ts'
import type { Endpoint, Outcome, Step } from './step.ts'

/** What an endpoint noted when it sent by way of the host stack, of the same incarnation, and as long ago at most as an open flow may be idle. */
export function hasNote({ draft, now }: Step, key: Pick<FlowKey, 'local' | 'localPort' | 'protocol'>, endpoint: Endpoint): boolean {
  const { local, localPort, protocol } = key
  const note = draft.get('host_notes', { local, localPort, protocol })
  return note?.incarnation === endpoint.incarnation && !isOlder(now, note.seen, openTimeout(protocol))
}

/**
 * An ICMP error takes the host stack, which knows what it translated. An endpoint whose policy is enforced may send (`out`) and get (`in`) only
 * those about packets of flows that go on.
 */
export function icmpError(step: Step, packet: Read, ifIndex: number, endpoint: Endpoint, way: Direction): Outcome {
  if (!enforces(step.draft, ifIndex, way)) return step.pass('icmpError')
  return isRelated(step, packet, endpoint, way) ? step.pass('icmpError') : step.drop('icmp-unrelated')
}

function isRelated(step: Step, packet: Read, endpoint: Endpoint, way: Direction): boolean {
  const { carried } = packet
  // An address that is the endpoint's in the map of addresses alone has no packets of its own.
  const pod = packet.family === 4 ? endpoint.address4 : endpoint.address6
  // An error that the pod sends is about a packet that it got, and the other way round.
  if (carried === undefined || (way === 'out' ? carried.destination : carried.source) !== pod) return false
  const { source, destination, ports, protocol } = carried
  const key =
    way === 'out'
      ? { local: destination, remote: source, localPort: ports.destination, remotePort: ports.source, protocol, kind: 0, spare: 0 }
      : { local: source, remote: destination, localPort: ports.source, remotePort: ports.destination, protocol, kind: 0, spare: 0 }
  const flow = findFlow(step.moment(packet), key, endpoint)
  return flow === undefined ? hasNote(step, key, endpoint) : flow.state !== flowState.denied
}
