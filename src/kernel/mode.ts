// SPDX-License-Identifier: Apache-2.0
import { index, word } from '#kernel/bpf/structs.ts'
import { control } from '#kernel/bpf/words.ts'
import { type Kernel, KernelError } from '#kernel/port.ts'

const entry = { map: 'control', key: index.encode({ index: control.mode }).toString('hex') } as const

/** The word that every program reads first; undefined while no programs are pinned. Throws KernelError. */
export async function modeOf(kernel: Pick<Kernel, 'observe'>): Promise<number | undefined> {
  const [host] = await kernel.observe([{ ns: 'host', links: [], families: [], entries: [entry] }])
  if (host === undefined) throw new KernelError('netns-gone', "the node's own network namespace")
  const [found] = host.entries
  return found && Number(word.decode(Buffer.from(found.value, 'hex')).value)
}

/** The host stack carries everything from the next packet on; where no programs are pinned it does anyway. Throws KernelError. */
export async function turnOff(kernel: Pick<Kernel, 'observe' | 'apply'>): Promise<void> {
  if (((await modeOf(kernel)) ?? 0) === 0) return
  const { failed } = await kernel.apply([{ op: 'map-put', ns: 'host', ...entry, value: word.encode({ value: 0n }).toString('hex') }])
  if (failed !== undefined) throw failed
}
