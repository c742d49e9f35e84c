// SPDX-License-Identifier: Apache-2.0
import { maps } from '#kernel/bpf/maps.ts'
import { serviceWord } from '#kernel/bpf/words.ts'
import type { EntryOp } from '#kernel/op.ts'
import type { PinnedMaps } from '#kernel/port.ts'

const { service_states } = maps
const entry = { map: 'service_states', key: service_states.key.encode({ index: serviceWord.synced }).toString('hex') } as const

/** Whether the maps that are pinned now were once written whole; undefined while none are. */
export async function readSynced(kernel: Pick<PinnedMaps, 'lookUp'>): Promise<boolean | undefined> {
  const [found] = await kernel.lookUp([entry])
  return found && service_states.value.decode(Buffer.from(found.value, 'hex')).value !== 0n
}

export const syncedOp: EntryOp = { op: 'map-put', ns: 'host', ...entry, value: service_states.value.encode({ value: 1n }).toString('hex') }
