// SPDX-License-Identifier: Apache-2.0

import { maps } from '#kernel/bpf/maps.ts'
import { credits, made, sumOf } from '#kernel/bpf/words.ts'
import type { RawEntry } from '#kernel/state.ts'

/** Entries that were put into a table and taken out of it, each by name, since the maps were made. */
export interface TableSum {
  readonly put: number
  readonly taken: number
}

/** By table. `granted` are the entries of `credits`: what terwayd takes away is counted there. */
export function tableSums(sums: readonly RawEntry[], granted: readonly RawEntry[]): ReadonlyMap<string, TableSum> {
  const removed = Number(
    granted.map(e => [indexOf(e), maps.credits.value.decode(e.value).value] as const).find(([i]) => i === removedAt)?.[1] ?? 0n,
  )
  return new Map(
    Object.entries(tableOf).map(([table, number]) => {
      const all = sums.filter(e => indexOf(e) === number).flatMap(({ value }) => onEachCpu('table_sums', value))
      const [put, taken] = [total(all.map(s => s.put)), total(all.map(s => s.taken))]
      return [table, { put, taken: taken + (table === 'flows' ? removed : 0) }]
    }),
  )
}

/** What the kernel has evicted, since it was full: whatever was put there, not taken out, and is not there. Of what was cut off by another size, too. */
export function evicted({ put, taken }: TableSum, used: number): number {
  return Math.max(0, put - taken - used)
}

/** Flows that began, by what was decided of them and by protocol. */
export function flowsMade(
  entries: readonly RawEntry[],
): readonly { readonly what: string; readonly protocol: string; readonly count: number }[] {
  const counts = new Map(entries.map(e => [indexOf(e), total(onEachCpu('flows_made', e.value).map(w => w.value))]))
  return Object.entries(made).flatMap(([what, first]) =>
    protocols.map((protocol, i) => ({ what, protocol, count: counts.get(first + i) ?? 0 })),
  )
}

const protocols = ['TCP', 'UDP', 'other'] as const
const tableOf = { flows: sumOf.flows, new_flows: sumOf.newFlows } as const
const removedAt = credits.flows + credits.removed

function indexOf({ key }: RawEntry): number {
  return maps.credits.key.decode(key).index
}

function onEachCpu<N extends 'table_sums' | 'flows_made'>(map: N, values: Uint8Array) {
  const { size, decode } = maps[map].value
  const each = Math.ceil(size / 8) * 8
  return Array.from(
    { length: Math.floor(values.length / each) },
    (_, i) => decode(values.subarray(i * each, i * each + size)) as ReturnType<(typeof maps)[N]['value']['decode']>,
  )
}

function total(counts: readonly bigint[]): number {
  return Number(counts.reduce((sum, n) => sum + n, 0n))
}
