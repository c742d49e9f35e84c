// SPDX-License-Identifier: Apache-2.0

import { maps } from '#kernel/bpf/maps.ts'
import { affinitySlot } from '#kernel/bpf/words.ts'
import type { RawEntry } from '#kernel/state.ts'
import type { ServiceMap } from '#state/entry.ts'
import { type Target, target } from '#state/target.ts'
import type { RestoredBackend } from './backends.ts'
import type { RestoredFrontend } from './frontends.ts'
import type { RestoredSet } from './sets.ts'

/** The numbers that are in the maps: flows know backends and frontends by them, and slots that stay need not be written. */
export interface RestoredIds {
  readonly backends: readonly RestoredBackend[]
  readonly frontends: readonly RestoredFrontend[]
  readonly sets: ReadonlyMap<number, RestoredSet>
  /** Which set each frontend has: by the key in `services`, in hex. */
  readonly setOf: ReadonlyMap<string, number>
  readonly lastSet: number
}

export const nothingRestored: RestoredIds = { backends: [], frontends: [], sets: new Map(), setOf: new Map(), lastSet: 0 }

/** Nobody gives that many: a number above is of a broken entry, and going on from there would soon run out of numbers. */
const mostIds = 0x40000000

/** Entries without sense (no address) are left out: nobody asks for them, so that they go with what is not wanted. */
export function restoreIds(entries: (map: ServiceMap) => Iterable<RawEntry>): RestoredIds {
  const all = (map: ServiceMap) => [...entries(map)]
  const backends = all('backends').flatMap(e => numbered(maps.backends.key.decode(e.key).backend, maps.backends.value.decode(e.value)))
  const frontends = all('frontends').flatMap(e => numbered(maps.frontends.key.decode(e.key).frontend, maps.frontends.value.decode(e.value)))
  const sets = restoreSlots(all('backend_slots'))
  const services = all('services').map(e => [Buffer.from(e.key).toString('hex'), maps.services.value.decode(e.value).set] as const)
  const counted = all('backend_sets').map(e => maps.backend_sets.key.decode(e.key).set)
  const used = [...sets.keys(), ...counted, ...services.map(([, set]) => set)].filter(id => id < mostIds)
  const lastSet = used.reduce((a, b) => Math.max(a, b), 0)
  return { backends, frontends, sets, setOf: new Map(services), lastSet }
}

function numbered(id: number, value: { readonly ip: Target['ip'] | undefined; readonly port: number; readonly protocol: number }) {
  const { ip, port, protocol } = value
  return ip === undefined || id === 0 || id >= mostIds ? [] : [{ id, target: target(ip, port, protocol) }]
}

function restoreSlots(entries: readonly RawEntry[]): ReadonlyMap<number, RestoredSet> {
  const sets = new Map<number, { id: number; slots: number[] }>()
  const numberedSlots = entries
    .map(e => ({ ...maps.backend_slots.key.decode(e.key), ...maps.backend_slots.value.decode(e.value) }))
    .filter(s => s.slot < affinitySlot && s.set < mostIds)
    .sort((a, b) => a.slot - b.slot)
  for (const { set, backend } of numberedSlots) {
    const found = sets.get(set) ?? { id: set, slots: [] }
    found.slots.push(backend)
    sets.set(set, found)
  }
  return sets
}
