// SPDX-License-Identifier: Apache-2.0

import { nameOf, type PodNames, protocolName } from '#cli/node-view.ts'
import { maps } from '#kernel/bpf/maps.ts'
import { secondsSince } from '#kernel/bpf/seen.ts'
import { flowFlag, flowKind, flowState, flowTimeout, flowWay } from '#kernel/bpf/words.ts'
import type { RawEntry } from '#kernel/state.ts'

/** A flow that the programs know of. `pod`: of a pod here; `choice`: which backend a pod's flow to a Service has; `client`, `backend`: through the node's own address. */
export interface FlowRow {
  readonly kind: 'pod' | 'choice' | 'client' | 'backend'
  readonly pod?: string
  readonly protocol: string
  readonly state: string
  /** How a pod's packets go. */
  readonly way?: string
  readonly local: string
  readonly localPort: number
  readonly remote: string
  readonly remotePort: number
  /** Who began it. */
  readonly began: 'local' | 'remote'
  /** What the client sees of a Service. */
  readonly frontend?: string
  readonly txPackets: number
  readonly txBytes: number
  readonly rxPackets: number
  readonly rxBytes: number
  readonly idleSeconds: number
  /** Idle for too long: the next packet decides anew. */
  readonly outdated: boolean
}

/** What names and ages are told by. */
export interface FlowNames {
  readonly pods: PodNames
  readonly frontends: ReadonlyMap<number, string>
  readonly now: number
}

/** A row of `flows` or `new_flows`. */
export function flowRow({ key, value }: RawEntry, { pods, frontends, now }: FlowNames): FlowRow {
  const flow = maps.flows.value.decode(value)
  const { txPackets, rxPackets, txBytes, rxBytes, frontend } = flow
  const isChoice = flow.way === flowWay.service
  const ends = endsOf(key)
  const pod = pods.get(ends.local)
  const name = frontends.get(frontend)
  return {
    kind: isChoice ? 'choice' : 'pod',
    ...(pod !== undefined && { pod }),
    ...ends,
    ...aged(flow, ends.protocol, now),
    way: nameOf(flowWay, flow.way),
    began: (flow.flags & flowFlag.remoteFirst) === 0 ? 'local' : 'remote',
    ...(name !== undefined && { frontend: name }),
    ...{ txPackets, txBytes: Number(txBytes), rxPackets, rxBytes: Number(rxBytes) },
  }
}

/** A choice has seen its pod's packets only: it counts as long as the flow that it led to. */
export function withChoicesInUse(rows: readonly FlowRow[]): FlowRow[] {
  const name = (r: FlowRow) => [r.protocol, r.local, r.localPort, r.frontend].join()
  const inUse = new Set(rows.flatMap(r => (r.kind === 'pod' && !r.outdated && r.frontend !== undefined ? [name(r)] : [])))
  return rows.map(r => (r.kind === 'choice' && r.outdated && inUse.has(name(r)) ? { ...r, outdated: false } : r))
}

/** A row of `node_flows`: what the node carries of it counts as received from the client. */
export function nodeFlowRow({ key, value }: RawEntry, { frontends, now }: FlowNames): FlowRow {
  const flow = maps.node_flows.value.decode(value)
  const ends = endsOf(key)
  const name = frontends.get(flow.frontend)
  return {
    kind: maps.node_flows.key.decode(key).kind === flowKind.client ? 'client' : 'backend',
    ...ends,
    ...aged(flow, ends.protocol, now),
    began: 'remote',
    ...(name !== undefined && { frontend: name }),
    ...{ txPackets: 0, txBytes: 0, rxPackets: flow.packets, rxBytes: Number(flow.bytes) },
  }
}

function endsOf(bytes: Uint8Array) {
  const { local = '', remote = '', localPort, remotePort, protocol } = maps.flows.key.decode(bytes)
  return { local: `${local}`, localPort, remote: `${remote}`, remotePort, protocol: protocolName(protocol) }
}

function aged({ seen, state }: { readonly seen: number; readonly state: number }, protocol: string, now: number) {
  const name = nameOf(flowState, state)
  const idleSeconds = Math.round(secondsSince(seen, now))
  const timeout = state === flowState.open && protocol === 'TCP' ? flowTimeout.openTcp : (timeouts[name] ?? 0)
  return { state: name, idleSeconds, outdated: idleSeconds > timeout }
}

const timeouts: Readonly<Record<string, number>> = flowTimeout
