// SPDX-License-Identifier: Apache-2.0
import { maps } from '#kernel/bpf/maps.ts'
import { affinitySlot, backendState, serviceScope } from '#kernel/bpf/words.ts'
import type { TranslatedFlow } from '#kernel/port.ts'
import type { RawEntry } from '#kernel/state.ts'

/** What the maps say of Services. */
type ServiceEntries = Readonly<Record<'services' | 'backend_slots' | 'backends', readonly RawEntry[]>>

/**
 * The number of the backend that the host stack translates a flow to: `gone` when the Service has no such backend any more. Undefined when the flow is of no
 * Service of pods, as one to a port of the host.
 */
export type BackendOf = (flow: TranslatedFlow) => number | 'gone' | undefined

const keyOf = (protocol: number, ip: string, port: number) => `${protocol} ${ip} ${port}`

/**
 * Each Service has numbers of its own for its backends without connections, so that the backend's address alone does not tell which is meant. One that is there
 * for others is not gone, though: kube-proxy may have had other rules of whom to choose.
 */
export function backendsOf(entries: ServiceEntries): BackendOf {
  const { services, backend_slots, backends } = maps
  const sets = new Map<string, number>()
  for (const { key, value } of entries.services) {
    const { ip = '', port, protocol, scope } = services.key.decode(key)
    if (scope === serviceScope.inside) sets.set(keyOf(protocol, ip, port), services.value.decode(value).set)
  }
  const members = new Map<number, Set<number>>()
  for (const { key, value } of entries.backend_slots) {
    const { set, slot } = backend_slots.key.decode(key)
    if (slot >= affinitySlot) continue
    const numbers = members.get(set) ?? new Set()
    members.set(set, numbers.add(backend_slots.value.decode(value).backend))
  }
  const numbers = new Map<string, number[]>()
  for (const { key, value } of entries.backends) {
    const { ip = '', port, protocol, state } = backends.value.decode(value)
    const known = numbers.get(keyOf(protocol, ip, port)) ?? []
    if (state === backendState.active) numbers.set(keyOf(protocol, ip, port), [...known, backends.key.decode(key).backend])
  }
  return ({ protocol, original, reply }) => {
    const set = sets.get(keyOf(protocol, original.destination, original.destinationPort))
    if (set === undefined) return undefined
    const candidates = numbers.get(keyOf(protocol, reply.source, reply.sourcePort)) ?? []
    return candidates.find(number => members.get(set)?.has(number)) ?? candidates[0] ?? 'gone'
  }
}
