// SPDX-License-Identifier: Apache-2.0
import type { SharedEniAttachment } from '#datapath/attachment.ts'
import { incarnationOf } from '#datapath/mode/ebpf.ts'
import { addressesOf } from '#datapath/mode/veth-route.ts'
import type { ValueOf } from '#kernel/bpf/layout.ts'
import { maps } from '#kernel/bpf/maps.ts'
import { flowFlag, flowState, flowWay, reservedIdentity } from '#kernel/bpf/words.ts'
import type { KernelOp } from '#kernel/op.ts'
import type { TranslatedFlow } from '#kernel/port.ts'
import type { Ip } from '#net/ip.ts'

type FlowKey = Omit<ValueOf<typeof maps.flows.key>, 'kind' | 'spare'>

/** TCP, UDP, SCTP. A ping that is lost is asked again. */
const protocols = [6, 17, 132]

/**
 * What the programs must know of flows that the host stack translates, so that it goes on translating them. A pod that spoke to
 * a Service has two names for the other side: the Service's, which it sends to, and the backend's, from which answers arrive. A pod
 * that was spoken to by way of a Service or a port of the node has one, that of who asked. `seen` is now, in the programs' units.
 */
export function importedFlows(flows: readonly TranslatedFlow[], pods: readonly SharedEniAttachment[], seen: number): KernelOp[] {
  const incarnations = new Map(pods.flatMap(a => addressesOf(a).map(ip => [ip, incarnationOf(a)] as const)))
  const entries = new Map<string, KernelOp>()
  const put = (op: Extract<KernelOp, { op: 'map-put' }>) => entries.set(`${op.map} ${op.key}`, op)
  for (const { protocol, original, reply } of flows) {
    if (!protocols.includes(protocol)) continue
    const add = (local: Ip, localPort: number, remote: Ip, remotePort: number, flags: number) => {
      const incarnation = incarnations.get(local)
      if (incarnation !== undefined) put(flowEntry({ local, localPort, remote, remotePort, protocol }, incarnation, seen, flags))
    }
    add(original.source, original.sourcePort, original.destination, original.destinationPort, 0)
    if (reply.destination === original.source) add(original.source, reply.destinationPort, reply.source, reply.sourcePort, 0)
    add(reply.source, reply.sourcePort, reply.destination, reply.destinationPort, flowFlag.remoteFirst)
    const incarnation = incarnations.get(original.source)
    if (incarnation !== undefined) put(noteEntry(original.source, original.sourcePort, protocol, incarnation, seen))
  }
  return [...entries.values()]
}

function flowEntry(key: FlowKey, localIncarnation: number, seen: number, flags: number): Extract<KernelOp, { op: 'map-put' }> {
  const value = maps.flows.value.encode({
    seen,
    state: flowState.open,
    way: flowWay.host,
    flags: flags | flowFlag.answered | flowFlag.imported,
    localIncarnation,
    identity: reservedIdentity.world,
  })
  return { op: 'map-put', ns: 'host', map: 'flows', key: maps.flows.key.encode(key).toString('hex'), value: value.toString('hex') }
}

function noteEntry(
  local: Ip,
  localPort: number,
  protocol: number,
  incarnation: number,
  seen: number,
): Extract<KernelOp, { op: 'map-put' }> {
  const key = maps.host_notes.key.encode({ local, localPort, protocol })
  const value = maps.host_notes.value.encode({ seen, incarnation })
  return { op: 'map-put', ns: 'host', map: 'host_notes', key: key.toString('hex'), value: value.toString('hex') }
}
