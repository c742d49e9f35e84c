// SPDX-License-Identifier: Apache-2.0
import { maps } from '#kernel/bpf/maps.ts'
import { control } from '#kernel/bpf/words.ts'
import type { KernelOp } from '#kernel/op.ts'
import type { NsState } from '#kernel/state.ts'

/** Where it is said how many flows a pod may have. */
export const limitEntry = { map: 'control', key: maps.control.key.encode({ index: control.flowLimit }).toString('hex') } as const

/** As a look at `limitEntry` saw it; 0 = there is none. */
export function limitIn({ entries }: Pick<NsState, 'entries'>): number {
  const entry = entries.find(e => e.map === limitEntry.map && e.key === limitEntry.key)
  return entry === undefined ? 0 : Number(maps.control.value.decode(Buffer.from(entry.value, 'hex')).value)
}

/** Says it when it is another one. */
export function limitOps(wanted: number | undefined, host: Pick<NsState, 'entries'>): KernelOp[] {
  const limit = wanted ?? 0
  if (limitIn(host) === limit) return []
  return [{ op: 'map-put', ns: 'host', ...limitEntry, value: maps.control.value.encode({ value: BigInt(limit) }).toString('hex') }]
}
