// SPDX-License-Identifier: Apache-2.0

import { counter, index } from '#kernel/bpf/structs.ts'
import type { RawEntry } from '#kernel/state.ts'

export interface Count {
  readonly packets: bigint
  readonly bytes: bigint
}

/** Entries of `paths` or `drops`, as sums over all CPUs by name; numbers of a newer release have no name here. Those that counted nothing are left out. */
export function countsByName(entries: readonly RawEntry[], names: Readonly<Record<string, number>>): ReadonlyMap<string, Count> {
  const nameOf = new Map(Object.entries(names).map(([name, number]) => [number, name]))
  return new Map(
    entries.flatMap(({ key, value }) => {
      const number = index.decode(key).index
      const count = total(value)
      return count.packets === 0n ? [] : [[nameOf.get(number) ?? `number ${number}`, count] as const]
    }),
  )
}

function total(value: Uint8Array): Count {
  const each = Array.from({ length: Math.floor(value.length / counter.size) }, (_, i) =>
    counter.decode(value.subarray(i * counter.size, (i + 1) * counter.size)),
  )
  return { packets: each.reduce((sum, c) => sum + c.packets, 0n), bytes: each.reduce((sum, c) => sum + c.bytes, 0n) }
}
