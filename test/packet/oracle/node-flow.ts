// SPDX-License-Identifier: Apache-2.0
import { flowFlag, flowKind, flowState, flowTimeout } from '#kernel/bpf/words.ts'
import type { RowValue } from '../world.ts'
import type { Draft } from './draft.ts'
import { bit, flowKeyOf, isOlder, openTimeout } from './flow.ts'
import type { FlowKey } from './policy.ts'
import { protocols, type Read } from './read.ts'
import type { Step } from './step.ts'

export type NodeFlow = RowValue<'node_flows'>

/** Who sends: the client, or whoever answers it. */
export type Sender = 'client' | 'backend'

export function nodeKeyOf(packet: Read, sends: 'local' | 'remote', kind: keyof typeof flowKind): FlowKey {
  return { ...flowKeyOf(packet, sends), kind: flowKind[kind] }
}

const lookUp = (draft: Draft, key: FlowKey) => draft.get('node_flows', key) ?? draft.get('new_node_flows', key)

/** Writes an entry where it is. */
export function storeNodeFlow(draft: Draft, key: FlowKey, flow: NodeFlow): void {
  draft.put(draft.get('node_flows', key) === undefined ? 'new_node_flows' : 'node_flows', key, flow)
}

/** A new one, where new ones are, or where its flow is in use. */
export function placeNodeFlow(draft: Draft, key: FlowKey, flow: NodeFlow): void {
  const isNew = (flow.flags & flowFlag.fresh) !== 0
  draft.delete(isNew ? 'node_flows' : 'new_node_flows', key)
  draft.put(isNew ? 'new_node_flows' : 'node_flows', key, flow)
}

/** After a packet of the client: it moves to those in use when it goes on after an answer. */
export function settleNodeFlow(draft: Draft, key: FlowKey, flow: NodeFlow): void {
  const both = flowFlag.fresh | flowFlag.answered
  if ((flow.flags & both) !== both || (key.protocol === protocols.tcp && flow.state !== flowState.open)) return
  placeNodeFlow(draft, key, { ...flow, flags: flow.flags & ~flowFlag.fresh })
}

/** The entry of a key that still counts. */
export function findNodeFlow({ draft, now }: Step, key: FlowKey): NodeFlow | undefined {
  const flow = lookUp(draft, key)
  if (flow === undefined) return undefined
  const { open, closing } = { open: openTimeout(key.protocol), closing: flowTimeout.closing }
  const seconds = flow.state === flowState.open ? open : flow.state === flowState.closing ? closing : flowTimeout.new
  return isOlder(now, flow.seen, seconds) ? undefined : flow
}

/** A flow after a packet of one side. In its flags the client is the remote side. */
export function counted(step: Step, packet: Read, flow: NodeFlow, by: Sender): NodeFlow {
  let { flags, state } = flow
  if (by === 'backend') {
    flags |= flowFlag.answered
    if (state === flowState.new) state = flowState.open
  }
  if (packet.protocol === protocols.tcp && (packet.tcpFlags & (bit.fin | bit.rst)) !== 0) {
    flags |= by === 'client' ? flowFlag.remoteEnded : flowFlag.localEnded
    const both = flowFlag.localEnded | flowFlag.remoteEnded
    if ((packet.tcpFlags & bit.rst) !== 0 || (flags & both) === both) state = flowState.closing
  }
  return { ...seenOnce(step, flow), flags, state }
}

/** The other entry of a flow: it is as far as the first one. */
export function followed(step: Step, flow: NodeFlow, other: NodeFlow): NodeFlow {
  const { state, flags } = other
  return { ...seenOnce(step, flow), state, flags: (flags & ~flowFlag.fresh) | (flow.flags & flowFlag.fresh) }
}

function seenOnce({ now, arrival }: Step, flow: NodeFlow): NodeFlow {
  return { ...flow, seen: now, packets: flow.packets + 1, bytes: flow.bytes + BigInt(arrival.packet.length) }
}

/** What a backend sends counts in both entries. Undefined when nobody knows any more what the client sees. */
export function answered(step: Step, packet: Read, key: FlowKey, flow: NodeFlow): RowValue<'frontends'> | undefined {
  const { draft } = step
  const seen = draft.get('frontends', { frontend: flow.frontend })
  if (seen === undefined) return undefined
  const after = counted(step, packet, flow, 'backend')
  storeNodeFlow(draft, key, after)
  const { client: remote, clientPort: remotePort } = flow
  const { protocol } = key
  const clientKey = { local: seen.ip, localPort: seen.port, remote, remotePort, protocol, kind: flowKind.client, spare: 0 }
  const other = lookUp(draft, clientKey)
  if (other?.backend === flow.backend && other.natPort === flow.natPort) storeNodeFlow(draft, clientKey, followed(step, other, after))
  return seen
}
