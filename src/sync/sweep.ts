// SPDX-License-Identifier: Apache-2.0
import { observeHost } from '#kernel/host.ts'
import type { Kernel } from '#kernel/port.ts'
import type { ServiceMap } from '#state/entry.ts'
import { pagesOf } from '#sync/pages.ts'
import type { SyncReport } from '#sync/report.ts'
import type { Wanted } from '#sync/wanted.ts'

/** Entries that are asked for by their keys in one call. */
const asked = 1000

/**
 * Compares one map with what is wanted; what differs is reported and becomes pending. Entries may be written meanwhile: an answer of the kernel is older
 * than any write that is still pending when it arrives, and those are left out. Throws KernelError.
 */
export async function sweep(
  map: ServiceMap,
  wanted: Wanted,
  kernel: Pick<Kernel, 'mapPage' | 'observe'>,
  report: SyncReport,
): Promise<void> {
  const seen = new Set<string>()
  for await (const page of pagesOf(kernel, map))
    for (const { key, value } of page) {
      seen.add(key)
      if (wanted.isPending(map, key)) continue
      const want = wanted.get(map, key)
      if (want === value) continue
      wanted.touch(map, key)
      report.damaged(map, key, want === undefined ? 'foreign' : 'changed')
    }
  // Missing, or written after its page was read, which only a look can tell: while Services change there are always some.
  const unseen: string[] = []
  for (const key of wanted.keys(map)) if (!seen.has(key)) unseen.push(key)
  await findMissing(map, unseen, { wanted, kernel, report })
}

interface Sweeping {
  readonly wanted: Wanted
  readonly kernel: Pick<Kernel, 'observe'>
  readonly report: SyncReport
}

async function findMissing(map: ServiceMap, keys: readonly string[], { wanted, kernel, report }: Sweeping): Promise<void> {
  for (let at = 0; at < keys.length; at += asked) {
    const some = keys.slice(at, at + asked)
    const { entries } = await observeHost(kernel, { links: [], families: [], entries: some.map(key => ({ map, key })) })
    const there = new Set(entries.map(e => e.key))
    for (const key of some) {
      if (there.has(key) || wanted.isPending(map, key) || wanted.get(map, key) === undefined) continue
      wanted.touch(map, key)
      report.damaged(map, key, 'missing')
    }
  }
}
