// SPDX-License-Identifier: Apache-2.0
import { affinitySlot, backendState, serviceFlag, serviceScope } from '#kernel/bpf/words.ts'
import { type Ip, isIpv4 } from '#net/ip.ts'
import { type Change, prefixRow, type RowValue, row } from './world.ts'

/** Services as the maps have them. A frontend and a set of backends are named by their numbers. */

export interface Backend {
  readonly id: number
  readonly ip: Ip
  readonly port: number
  readonly protocol: number
  readonly state?: keyof typeof backendState
}

export function backendIs({ id, ip, port, protocol, state = 'active' }: Backend): Change {
  return row('backends', { backend: id }, { ip, port, protocol, state: backendState[state] })
}

export function backendGoes(id: number): Change {
  return { map: 'backends', key: { backend: id }, value: undefined } as Change
}

/** The numbered slots of a set, and those that tell whether somebody may stay with a backend. */
export function setIs(set: number, backends: readonly number[]): Change[] {
  return [
    row('backend_sets', { set }, { count: backends.length }),
    ...backends.map((backend, slot) => row('backend_slots', { set, slot }, { backend })),
    ...backends.map(backend => row('backend_slots', { set, slot: slotOf(backend) }, { backend })),
  ]
}

export const slotOf = (backend: number) => (affinitySlot | backend) >>> 0

export interface Frontend {
  readonly ip: Ip
  readonly port: number
  readonly protocol: number
  readonly scope?: keyof typeof serviceScope
  readonly frontend: number
  readonly set: number
  readonly flags?: readonly (keyof typeof serviceFlag)[]
  readonly affinitySeconds?: number
}

export function serviceIs({ ip, port, protocol, scope = 'inside', frontend, set, flags = [], affinitySeconds = 0 }: Frontend): Change[] {
  const value: Partial<RowValue<'services'>> = { set, frontend, affinitySeconds, flags: flags.reduce((sum, f) => sum | serviceFlag[f], 0) }
  return [
    row('services', { ip, port, protocol, scope: serviceScope[scope] }, value),
    row('frontends', { frontend }, { ip, port, protocol }),
  ]
}

/** Who may come to a frontend. */
export function rangeOf(frontend: number, ip: Ip, length: number): Change {
  return prefixRow('source_ranges', { prefixLength: 32 + (isIpv4(ip) ? 96 : 0) + length, frontend, ip }, { allowed: 1 })
}
