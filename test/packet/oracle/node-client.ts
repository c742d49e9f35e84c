// SPDX-License-Identifier: Apache-2.0
import { dropReasons, flowState, mode, serviceFlag } from '#kernel/bpf/words.ts'
import { type Backend, backendOf, candidates, isUsable, keepAffinity, mayCome, type Service, serviceAt } from './choose.ts'
import { flowKeyOf, isSyn } from './flow.ts'
import { findNodeFlow, nodeKeyOf } from './node-flow.ts'
import { changesPort, exclusiveOf, pass, placeOf, towards } from './node-pass.ts'
import type { FlowKey } from './policy.ts'
import { protocols, type Read } from './read.ts'
import { refuse } from './service.ts'
import type { Outcome, Step } from './step.ts'

/** A packet of a client of the node; undefined: it is none. */
export function ask(step: Step, packet: Read): Outcome | undefined {
  const { draft } = step
  const key = nodeKeyOf(packet, 'remote', 'client')
  const entry = findNodeFlow(step, key)
  const goesOn = entry !== undefined && (!isSyn(packet) || entry.state === flowState.new)
  const kept = goesOn ? backendOf(draft, entry.backend) : undefined
  if (goesOn && isUsable(kept, packet.protocol))
    return pass(step, packet, { key, entry, frontend: entry.frontend, backend: kept, keepsSource: false })
  const { destination: ip, source, protocol, ports } = packet
  // The host stack may be translating what goes on in the middle.
  if (step.has(mode.learn) && protocol === protocols.tcp && !isSyn(packet)) return undefined
  // A pod with an ENI for itself asks at its host end what others ask at theirs.
  const { ifIndex } = step.arrival
  const isPod = ifIndex !== draft.get('node_configs', { index: 0 })?.ifIndex && exclusiveOf(step, source) === ifIndex
  const service = serviceAt(draft, { ip, port: ports.destination, protocol }, isPod ? 'inside' : 'outside')
  if (service === undefined) return undefined
  if (!mayCome(draft, service, source)) return step.drop('service-source-range')
  const backend = choose(step, packet, service, key)
  if (backend === undefined) return refuse(step, packet, service, 0)
  const keepsSource = (service.flags & serviceFlag.keepSource) !== 0
  return pass(step, packet, { key, frontend: service.frontend, backend, keepsSource })
}

function choose(step: Step, packet: Read, service: Service, key: FlowKey): Backend | undefined {
  const { draft, now } = step
  const { kept, any } = candidates(draft, now, service, packet.source)
  const [first, ...rest] = kept === undefined ? any : [kept]
  const keepsSource = (service.flags & serviceFlag.keepSource) !== 0
  const chosen = step.pick([first, ...rest], (option, { reason, row }) => {
    const affinity = row('affinities', { client: packet.source, set: service.set })
    if (option !== undefined && service.affinitySeconds > 0 && affinity?.backend !== option.id) return false
    if (reason === 0) return option !== undefined && (row('new_node_flows', key) ?? row('node_flows', key))?.backend === option.id
    if (option !== undefined && changesPort(packet, option)) return reason === dropReasons['service-translation-failed']
    const place = option && placeOf(step, option.ip)
    if (reason === dropReasons['service-without-backend']) return place === undefined || (keepsSource && place.is === 'elsewhere')
    if (option === undefined || place === undefined) return false
    if (place.is === 'elsewhere' || place.is === 'exclusive') return [34, 37, 38].includes(reason)
    const flowKey = flowKeyOf(towards(packet, option), 'remote')
    return (row('new_flows', flowKey) ?? row('flows', flowKey))?.state === flowState.denied
  })
  if (chosen !== undefined) keepAffinity(draft, now, service, packet.source, chosen)
  return chosen
}
