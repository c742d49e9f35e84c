// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { dropReasons, flowState, flowWay, mode } from '#kernel/bpf/words.ts'
import { backendOf, isUsable } from './oracle/choose.ts'
import { type Flow, findFlow, flowKeyOf, isSyn, remoteBegan } from './oracle/flow.ts'
import { modeOf, policyOf } from './oracle/policy.ts'
import { isPorted, type Read, read } from './oracle/read.ts'
import { isForsaken, isOfServices } from './oracle/service.ts'
import { type Arrival, type Endpoint, Step } from './oracle/step.ts'
import type { Packet } from './topology.ts'
import { type Change, idOf, type World } from './world.ts'

/** What holds whatever the oracle says. */

const ofPolicy: readonly number[] = [dropReasons['policy-egress'], dropReasons['policy-ingress'], dropReasons['denied-flow']]
const ofServices: readonly number[] = (
  ['service-without-backend', 'service-source-range', 'service-collision', 'service-unknown'] as const
).map(reason => dropReasons[reason])

/**
 * Whether a packet is of a flow that both sides use, and that policy as it is now has allowed: no reason of policy may end it. Nor may a Service
 * whose backend is still there.
 */
export function goesOn(world: World, program: Packet['program'], arrival: Arrival, reason: number, at: number): boolean {
  const packet = read(arrival.packet, arrival.gsoSize ?? 0)
  if (packet.is !== 'packet' || packet.fragment !== undefined || isSyn(packet)) return false
  const { draft } = new Step(world, arrival, at)
  const ifIndex = program === 'eni_in' ? (draft.get('addresses', { ip: packet.destination })?.endpoint ?? 0) : arrival.ifIndex
  const open = (of: Read, number: number, sends: 'local' | 'remote') => openFlow(world, of, number, sends, at)
  if (program !== 'pod_in') return ofPolicy.includes(reason) && open(packet, ifIndex, 'remote') !== undefined
  const translated = (modeOf(draft) & mode.service) === 0 ? packet : throughChoice(world, packet, ifIndex, at)
  if (translated === undefined) return false
  if (translated !== packet && ofServices.includes(reason)) return true
  const flow = open(translated, ifIndex, 'local')
  if (!ofPolicy.includes(reason) || flow === undefined) return false
  return flow.way === flowWay.host || flow.peer === 0 || open(translated, flow.peer, 'remote') !== undefined
}

/** The packet as it goes on by its choice; undefined: that backend is there no more. */
function throughChoice(world: World, packet: Read, ifIndex: number, at: number): Read | undefined {
  const { draft, flow } = flowOf(world, packet, ifIndex, 'local', at)
  if (flow !== undefined && isForsaken(draft, packet, flow)) return undefined
  if (flow?.way !== flowWay.service) return packet
  const backend = backendOf(draft, flow.backend)
  if (!isUsable(backend, packet.protocol)) return undefined
  return { ...packet, destination: backend.ip, ports: { ...packet.ports, destination: backend.port } }
}

function flowOf(world: World, packet: Read, ifIndex: number, sends: 'local' | 'remote', at: number) {
  const { draft } = new Step(world, { packet: Buffer.alloc(0), ifIndex }, at)
  const endpoint: Endpoint | undefined = draft.get('endpoints', { ifIndex })
  const flow = endpoint && findFlow({ draft, now: at, length: 0, packet }, flowKeyOf(packet, sends), endpoint)
  return { draft, flow }
}

function openFlow(world: World, packet: Read, ifIndex: number, sends: 'local' | 'remote', at: number): Flow | undefined {
  const { draft, flow } = flowOf(world, packet, ifIndex, sends, at)
  if (flow === undefined || (isOfServices(flow) && (modeOf(draft) & mode.service) === 0)) return undefined
  const judged = (modeOf(draft) & mode.policy) === 0 || flow.policyRevision === policyOf(draft, ifIndex).revision
  return flow.state === flowState.open && judged ? flow : undefined
}

interface Passed extends Packet {
  readonly world: World
  readonly changes: readonly Change[]
  /** The packet as it came out; undefined when it did not. */
  readonly after: Buffer | undefined
  /** Which way it went. */
  readonly fate: string
}

/** Whom each pod asked last, seen from its packets alone: who answers has to come from there, if the flow is still known. */
export class Asked {
  readonly #asked = new Map<string, string>()

  follow({ world, changes, program, arrival, after, fate }: Passed): void {
    const gsoSize = arrival.gsoSize ?? 0
    const [is, was] = [after && read(after, gsoSize), read(arrival.packet, gsoSize)]
    if (is?.is !== 'packet' || was.is !== 'packet' || is.fragment !== undefined) {
      // Whom a fragment asks, only its first one tells; what is dropped asks nobody, but its flow knows by which Service it came.
      for (const { map, key } of changes) if (map.endsWith('flows')) this.#asked.delete(idOf(map, key))
      return
    }
    if (!isPorted(was.protocol)) return
    const step = new Step(world, arrival, 0)
    if (program === 'pod_in' && is.source === was.source) {
      const id = idOf('flows', flowKeyOf(is, 'local'))
      const written = changes.some(({ map, key, value }) => map.endsWith('flows') && value !== undefined && idOf(map, key) === id)
      if (written) this.#asked.set(id, from(was.destination, was.ports.destination))
    }
    if (!step.has(mode.service) || !intoPod.includes(fate)) return
    const id = idOf('flows', flowKeyOf(was, 'remote'))
    const flow = changes.find(({ map, key, value }) => map.endsWith('flows') && value !== undefined && idOf(map, key) === id)?.value as
      | Flow
      | undefined
    const wanted = this.#asked.get(id)
    if (flow === undefined || remoteBegan(flow) || flow.frontend === 0 || wanted === undefined) return
    assert.equal(from(is.source, is.ports.source), wanted, 'who answers is not who was asked')
  }
}

const intoPod = ['remoteToPod', 'podToPod', 'hostToPod', 'shaped']
const from = (ip: string, port: number) => `${ip} ${port}`
