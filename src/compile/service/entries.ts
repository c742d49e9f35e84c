// SPDX-License-Identifier: Apache-2.0
import { maps } from '#kernel/bpf/maps.ts'
import { affinitySlot, serviceScope } from '#kernel/bpf/words.ts'
import { baseOf, type Cidr, familyOfCidr, prefixLength } from '#net/cidr.ts'
import type { Change } from '#state/entry.ts'
import type { Target } from '#state/target.ts'

/** One entry of each map that Services are in, in the bytes of the programs. */

/** Numbers are little-endian. There are so many of these that the codec's walk over the fields would be most of the work. */
function word(n: number): string {
  const swapped = ((n & 0xff) << 24) | ((n & 0xff00) << 8) | ((n >>> 8) & 0xff00) | (n >>> 24)
  return (swapped >>> 0).toString(16).padStart(8, '0')
}

export function backendEntry(id: number, state: number, { ip, port, protocol }: Target): Change {
  return { map: 'backends', key: word(id), value: maps.backends.value.encode({ ip, port, protocol, state }).toString('hex') }
}

export function noBackend(id: number): Change {
  return { map: 'backends', key: word(id), value: undefined }
}

export function frontendEntry(id: number, { ip, port, protocol }: Target): Change {
  return { map: 'frontends', key: word(id), value: maps.frontends.value.encode({ ip, port, protocol }).toString('hex') }
}

export function noFrontend(id: number): Change {
  return { map: 'frontends', key: word(id), value: undefined }
}

/** Undefined: no such slot. */
export function slotEntry(set: number, slot: number, backend: number | undefined): Change {
  return { map: 'backend_slots', key: word(set) + word(slot), value: backend === undefined ? undefined : word(backend) }
}

/** The backend is one of the set's, or is not. */
export function memberEntry(set: number, backend: number, isMember: boolean): Change {
  return slotEntry(set, (affinitySlot | backend) >>> 0, isMember ? backend : undefined)
}

export function setEntry(set: number, count: number): Change {
  return { map: 'backend_sets', key: word(set), value: word(count) + word(0) }
}

export function noSet(set: number): Change {
  return { map: 'backend_sets', key: word(set), value: undefined }
}

export function sourceRangeKey(frontend: number, range: Cidr): string {
  // Of an IPv4 prefix 96 bits more: its addresses are ::ffff:a.b.c.d. And 32 for the frontend.
  const length = prefixLength(range) + (familyOfCidr(range) === 4 ? 96 : 0) + 32
  return maps.source_ranges.key.encode({ prefixLength: length, frontend, ip: baseOf(range) }).toString('hex')
}

export const allowedRange = maps.source_ranges.value.encode({ allowed: 1 }).toString('hex')

export function serviceKey({ ip, port, protocol }: Target, scope: keyof typeof serviceScope): string {
  return maps.services.key.encode({ ip, port, protocol, scope: serviceScope[scope] }).toString('hex')
}

export function serviceValue(value: { set: number; frontend: number; flags: number; affinitySeconds: number }): string {
  return maps.services.value.encode(value).toString('hex')
}
