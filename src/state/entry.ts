// SPDX-License-Identifier: Apache-2.0
import type { MapName } from '#kernel/bpf/maps.ts'
import { backend } from '#kernel/bpf/structs.ts'
import { backendState } from '#kernel/bpf/words.ts'

/** The maps that say what Services there are, in the order in which their entries are put. */
export const serviceMaps = [
  'backends',
  'frontends',
  'backend_slots',
  'backend_sets',
  'source_ranges',
  'services',
] as const satisfies readonly MapName[]
export type ServiceMap = (typeof serviceMaps)[number]

/** What an entry of a map is to be; bytes in hex, so that equality is `===`. */
export interface Change {
  readonly map: ServiceMap
  readonly key: string
  /** Undefined: absent. */
  readonly value: string | undefined
}

/** The steps after every put: who points comes before what is pointed at. */
const removals: readonly (ServiceMap | 'drain')[] = [
  'services',
  'source_ranges',
  'backend_sets',
  'backend_slots',
  'drain',
  'backends',
  'frontends',
]
const lastStep = serviceMaps.length + removals.length - 1

const offsetOf = (name: string) => backend.fields.find(f => f.name === name)?.offset ?? 0
const backendBytes = { protocol: 2 * offsetOf('protocol'), state: 2 * offsetOf('state') } as const

/** Whether the value of a backend has this number in a field of one byte: most are asked for nothing else, and to take one apart takes longer. */
export function backendHas(field: keyof typeof backendBytes, n: number, value: string): boolean {
  return value.startsWith(n.toString(16).padStart(2, '0'), backendBytes[field])
}

/**
 * The order in which changes may be made one by one, so that at no moment something points at what is not there: a set's count follows its slots,
 * and they follow their backends. A backend drains only when no slot has it any more, lest a client finds nobody.
 */
export function inOrder(changes: readonly Change[]): readonly Change[] {
  const steps: Change[][] = Array.from({ length: lastStep + 1 }, () => [])
  for (const change of changes) steps[stepOf(change)]?.push(change)
  return steps.flat()
}

function stepOf({ map, value }: Change): number {
  if (value === undefined) return serviceMaps.length + removals.indexOf(map)
  const drains = map === 'backends' && backendHas('state', backendState.draining, value)
  return drains ? serviceMaps.length + removals.indexOf('drain') : serviceMaps.indexOf(map)
}
