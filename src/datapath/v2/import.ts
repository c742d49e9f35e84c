// SPDX-License-Identifier: Apache-2.0
import type { SharedEniAttachment } from '#datapath/attachment.ts'
import { incarnationOf } from '#datapath/mode/ebpf.ts'
import { addressesOf } from '#datapath/mode/veth-route.ts'
import { flowTables } from '#datapath/v2/forget.ts'
import type { BackendOf } from '#datapath/v2/taken-backends.ts'
import type { ValueOf } from '#kernel/bpf/layout.ts'
import { maps } from '#kernel/bpf/maps.ts'
import { flowFlag, flowState, flowWay, reservedIdentity } from '#kernel/bpf/words.ts'
import type { KernelOp } from '#kernel/op.ts'
import type { FlowTuple, TranslatedFlow } from '#kernel/port.ts'
import type { Ip } from '#net/ip.ts'

type FlowKey = Omit<ValueOf<typeof maps.flows.key>, 'kind' | 'spare'>

/** TCP, UDP, SCTP. A ping that is lost is asked again. */
const protocols = [6, 17, 132]
const tcp = 6

/**
 * What the programs must know of flows that the host stack translates, so that it goes on translating them. A pod that spoke to
 * a Service has two names for the other side: the Service's, which it sends to, and the backend's, from which answers arrive. A pod
 * that was spoken to by way of a Service or a port of the node has one, that of who asked. `seen` is now, in the programs' units.
 *
 * What has no connection goes on with its backend as long as the Service has it, and for that the programs know its number: after kube-proxy nobody tells the
 * host stack that it is gone.
 */
export function importedFlows(
  flows: readonly TranslatedFlow[],
  pods: readonly SharedEniAttachment[],
  seen: number,
  backendOf: BackendOf,
): KernelOp[] {
  const incarnations = new Map(pods.flatMap(a => addressesOf(a).map(ip => [ip, incarnationOf(a)] as const)))
  const entries = new Map<string, KernelOp>()
  const put = (op: EntryOp) => entries.set(`${op.map} ${op.key}`, op)
  for (const flow of flows) {
    const { protocol, original, reply } = flow
    if (!protocols.includes(protocol)) continue
    const add = (local: Ip, localPort: number, remote: Ip, remotePort: number, flags: number, backend = 0) => {
      const incarnation = incarnations.get(local)
      if (incarnation !== undefined)
        put(flowEntry({ local, localPort, remote, remotePort, protocol }, incarnation, { seen, flags, backend }))
    }
    const backend = protocol === tcp ? undefined : backendOf(flow)
    if (backend === 'gone') {
      if (incarnations.has(original.source)) for (const op of forgetting(protocol, original)) put(op)
      continue
    }
    add(original.source, original.sourcePort, original.destination, original.destinationPort, 0, backend)
    if (reply.destination === original.source) add(original.source, reply.destinationPort, reply.source, reply.sourcePort, 0)
    add(reply.source, reply.sourcePort, reply.destination, reply.destinationPort, flowFlag.remoteFirst)
    const incarnation = incarnations.get(original.source)
    if (incarnation !== undefined) put(noteEntry(original.source, original.sourcePort, protocol, incarnation, seen))
  }
  return [...entries.values()]
}

type EntryOp = Extract<KernelOp, { op: 'map-put' | 'map-del' }>

/** Whoever never pauses begins anew with its next packet. */
function forgetting(
  protocol: number,
  { source: local, sourcePort: localPort, destination: remote, destinationPort: remotePort }: FlowTuple,
) {
  const key = maps.flows.key.encode({ local, localPort, remote, remotePort, protocol }).toString('hex')
  return flowTables.map((map): EntryOp => ({ op: 'map-del', ns: 'host', map, key }))
}

interface Imported {
  readonly seen: number
  readonly flags: number
  readonly backend: number
}

function flowEntry(key: FlowKey, localIncarnation: number, { seen, flags, backend }: Imported): EntryOp {
  const value = maps.flows.value.encode({
    seen,
    backend,
    state: flowState.open,
    way: flowWay.host,
    flags: flags | flowFlag.answered | flowFlag.imported,
    localIncarnation,
    identity: reservedIdentity.world,
  })
  return { op: 'map-put', ns: 'host', map: 'flows', key: maps.flows.key.encode(key).toString('hex'), value: value.toString('hex') }
}

function noteEntry(local: Ip, localPort: number, protocol: number, incarnation: number, seen: number): EntryOp {
  const key = maps.host_notes.key.encode({ local, localPort, protocol })
  const value = maps.host_notes.value.encode({ seen, incarnation })
  return { op: 'map-put', ns: 'host', map: 'host_notes', key: key.toString('hex'), value: value.toString('hex') }
}
