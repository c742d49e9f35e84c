// SPDX-License-Identifier: Apache-2.0
import { type Fields, type Kind, struct } from '../src/kernel/bpf/layout.ts'
import type { Contract, ReleaseStruct } from './bpf-release.ts'

/**
 * Why two releases cannot run on the same maps, one line each: programs and processes of either read what those of the other wrote, in both
 * directions, since a node goes back as it went forward. A map with another layout number is another map.
 */
export function conflicts(older: Contract, newer: Contract): string[] {
  const changed = Object.entries(older.words).flatMap(([word, number]) => {
    const now = newer.words[word]
    return now === number ? [] : [`${word} was ${number}, and is ${now ?? 'gone'}`]
  })
  return [...changed, ...Object.keys(older.maps).flatMap(name => conflictsOfMap(name, older, newer))]
}

function conflictsOfMap(name: string, older: Contract, newer: Contract): string[] {
  const [was, is] = [older.maps[name], newer.maps[name]]
  if (was === undefined || is === undefined || was.layout !== is.layout) return []
  const type = was.type === is.type ? [] : [`${name} was of type ${was.type}, and is of ${is.type}`]
  const parts = (['key', 'value'] as const).flatMap(part => {
    const [then, now] = [older.structs[was[part]], newer.structs[is[part]]]
    return then === undefined || now === undefined ? [`${name} has no ${part}`] : conflictsOfStruct(`${part} of ${name}`, then, now)
  })
  return [...type, ...parts]
}

/** What both name is at one place and of one kind, and what only the newer names was spare: zero there means what was meant before. */
function conflictsOfStruct(what: string, older: ReleaseStruct, newer: ReleaseStruct): string[] {
  if (older.size !== newer.size) return [`${what} had ${older.size} bytes, and has ${newer.size}`]
  const [was, is] = [placesOf(older), placesOf(newer)]
  const moved = [...was].flatMap(([field, place]) => {
    const now = is.get(field)
    return now?.offset === place.offset && now.kind === place.kind ? [] : [`${what}: ${field} was ${tell(place)}, and is ${tell(now)}`]
  })
  const taken = [...is].flatMap(([field, place]) => {
    const under = [...was].filter(([, p]) => p.offset < place.offset + place.size && place.offset < p.offset + p.size)
    return was.has(field) ? [] : under.map(([before]) => `${what}: ${field} is where ${before} was`)
  })
  return [...moved, ...taken]
}

interface Place {
  readonly offset: number
  readonly size: number
  readonly kind: Kind
}

/** Of the fields that are in use. */
function placesOf({ size, fields }: ReleaseStruct): ReadonlyMap<string, Place> {
  const used = struct<Fields>('', size, fields).fields.filter(f => !f.name.startsWith('spare'))
  return new Map(used.map(({ name, ...place }) => [name, place]))
}

function tell(place: Place | undefined): string {
  return place === undefined ? 'gone' : `${place.kind} at ${place.offset}`
}
