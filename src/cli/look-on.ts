// SPDX-License-Identifier: Apache-2.0
import { seenNow } from '#kernel/bpf/seen.ts'
import { applyAll, observeHost } from '#kernel/host.ts'
import { modeIn } from '#kernel/mode.ts'
import { beatOps, endOps, freePlace, type Monitor, monitorEntries } from '#kernel/monitors.ts'
import type { Kernel } from '#kernel/port.ts'
import { AppError } from '#lib/errors.ts'

const query = { links: [], families: [], entries: monitorEntries } as const

/** From now on the programs tell of packets; `sample`: of one of so many that pass, 0 = of first ones alone. Returns the place that this one has until `end`. */
export async function begin(kernel: Kernel, sample: number): Promise<number> {
  const host = await observeHost(kernel, query)
  if (modeIn(host) === undefined) throw new AppError('no-programs', 'no programs are loaded on this node')
  const at = freePlace(host, seenNow())
  if (at === undefined) throw new AppError('monitor-busy', 'as many look at this node as can')
  await say(kernel, { at, sample })
  return at
}

/** That this one is still there: to be said each second. */
export async function say(kernel: Kernel, own: Omit<Monitor, 'seen'>): Promise<void> {
  const host = await observeHost(kernel, query)
  if (modeIn(host) === undefined) throw new AppError('no-programs', 'the programs were taken away')
  await applyAll(kernel, beatOps(host, { ...own, seen: seenNow() }))
}

/** Where the programs were taken away, there is nothing to end. */
export async function end(kernel: Kernel, at: number): Promise<void> {
  const host = await observeHost(kernel, query)
  if (modeIn(host) !== undefined) await applyAll(kernel, endOps(host, { at, seen: seenNow(), sample: 0 }))
}
