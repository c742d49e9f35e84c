// SPDX-License-Identifier: Apache-2.0
import { flowFlag, flowKind, flowState } from '#kernel/bpf/words.ts'
import type { Ip } from '#net/ip.ts'
import { full } from '../world.ts'
import type { Backend } from './choose.ts'
import { counted, findNodeFlow, followed, type NodeFlow, placeNodeFlow, settleNodeFlow, storeNodeFlow } from './node-flow.ts'
import type { FlowKey } from './policy.ts'
import type { Read } from './read.ts'
import type { Step } from './step.ts'

/** What a client of the node wants, and from whom. */
export interface Passage {
  readonly key: FlowKey
  /** The entry that the packet goes on with. */
  readonly entry?: NodeFlow
  readonly frontend: number
  readonly backend: Backend
  readonly keepsSource: boolean
}

/** The client's entry with this packet. */
export function begun(step: Step, packet: Read, { key, entry, frontend, backend }: Passage, natPort: number): NodeFlow {
  const { remote: client, remotePort: clientPort } = key
  const first = full('node_flows', {
    state: flowState.new,
    flags: flowFlag.remoteFirst | flowFlag.fresh,
    client,
    clientPort,
    frontend,
    backend: backend.id,
  })
  return counted(step, packet, { ...(entry ?? first), natPort }, 'client')
}

/** Both entries by the node's port towards the backend: the one that the flow has, or a free one; undefined: none is. */
export function takePort(step: Step, packet: Read, passage: Passage, local: Ip): { readonly client: NodeFlow } | undefined {
  const { draft } = step
  const { key, entry, backend } = passage
  const backendKey = (localPort: number): FlowKey => ({
    ...{ local, localPort, remote: backend.ip, remotePort: backend.port },
    ...{ protocol: packet.protocol, kind: flowKind.backend, spare: 0 },
  })
  const take = (port: number) => {
    const client = begun(step, packet, passage, port)
    placeNodeFlow(draft, backendKey(port), client)
    return { client }
  }
  if (entry !== undefined && entry.natPort !== 0) {
    const own = backendKey(entry.natPort)
    const client = joined(step, packet, passage, own, entry.natPort)
    if (client !== undefined) return { client }
    if (findNodeFlow(step, own) === undefined) return take(entry.natPort)
  }
  const { natPortFirst, natPortLast } = draft.get('node_configs', { index: 0 }) ?? { natPortFirst: 0, natPortLast: 0 }
  const all = natPortFirst === 0 ? [] : Array.from({ length: Math.max(0, natPortLast - natPortFirst + 1) }, (_, i) => natPortFirst + i)
  const isFree = (port: number) => findNodeFlow(step, backendKey(port)) === undefined
  const free = all.filter(isFree)
  const mayMiss = all.length === 0 || all.some((_, start) => !isFreeWithin(all, start, isFree))
  const [first, ...rest] = [...free, ...(mayMiss ? [undefined] : [])]
  const port = step.pick([first, ...rest], (option, { row }) => (row('new_node_flows', key) ?? row('node_flows', key))?.natPort === option)
  return port === undefined ? undefined : take(port)
}

/** The entry by which answers are found goes on: it counts the packet, and the client's is as far as it is. */
export function joined(step: Step, packet: Read, { entry, frontend }: Passage, key: FlowKey, natPort: number): NodeFlow | undefined {
  const other = findNodeFlow(step, key)
  if (entry === undefined || other === undefined) return undefined
  const isSame = other.client === entry.client && other.clientPort === entry.clientPort
  if (!isSame || other.frontend !== frontend || other.natPort !== natPort) return undefined
  const after = counted(step, packet, other, 'client')
  storeNodeFlow(step.draft, key, after)
  settleNodeFlow(step.draft, key, after)
  return followed(step, { ...entry, natPort }, after)
}

/** How many ports are tried from where chance begins. */
const tries = 16

function isFreeWithin(all: readonly number[], start: number, isFree: (port: number) => boolean): boolean {
  return Array.from({ length: tries }, (_, n) => all[(start + n) % all.length] ?? 0).some(isFree)
}
