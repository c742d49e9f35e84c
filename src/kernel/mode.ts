// SPDX-License-Identifier: Apache-2.0
import { maps } from '#kernel/bpf/maps.ts'
import { control, mode } from '#kernel/bpf/words.ts'
import { applyAll, observeHost } from '#kernel/host.ts'
import type { KernelOp } from '#kernel/op.ts'
import type { Kernel } from '#kernel/port.ts'
import type { NsState } from '#kernel/state.ts'

/** Where the word is that every program reads first. */
export const modeEntry = { map: 'control', key: maps.control.key.encode({ index: control.mode }).toString('hex') } as const

/** As a look at `modeEntry` saw it; undefined while no programs are pinned. */
export function modeIn(host: NsState): number | undefined {
  const entry = host.entries.find(e => e.map === modeEntry.map && e.key === modeEntry.key)
  return entry && Number(maps.control.value.decode(Buffer.from(entry.value, 'hex')).value)
}

/** The mode now; undefined while no programs are pinned. Throws KernelError. */
export async function modeOf(kernel: Pick<Kernel, 'observe'>): Promise<number | undefined> {
  return modeIn(await observeHost(kernel, { links: [], families: [], entries: [modeEntry] }))
}

export function modeOp(value: number): KernelOp {
  return { op: 'map-put', ns: 'host', ...modeEntry, value: maps.control.value.encode({ value: BigInt(value) }).toString('hex') }
}

/** Whether packets go past the host stack. */
export function forwards(word: number | undefined): boolean {
  return ((word ?? 0) & mode.forward) !== 0
}

/**
 * The host stack carries everything from the next packet on, where no programs are pinned it does anyway. Unless told otherwise Services that the programs
 * translate stay theirs: nobody else does. Throws KernelError.
 */
export async function turnOff(kernel: Pick<Kernel, 'observe' | 'apply'>, keep: number = mode.service): Promise<void> {
  const seen = (await modeOf(kernel)) ?? 0
  if ((seen & keep) !== seen) await applyAll(kernel, [modeOp(seen & keep)])
}
