// SPDX-License-Identifier: Apache-2.0
import type { PinnedMaps } from '#kernel/port.ts'
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
  kernel: Pick<PinnedMaps, 'mapPage' | 'lookUp'>,
  report: SyncReport,
): Promise<void> {
  wanted.compare()
  for await (const page of pagesOf(kernel, map))
    for (const { key, value } of page) {
      if (wanted.isRight(map, key, value)) continue
      report.damaged(map, key, wanted.get(map, key) === undefined ? 'foreign' : 'changed')
      wanted.touch(map, key)
    }
  // Missing, or moved by the kernel from one page to another while it was read, which only a look can tell.
  await findMissing(map, wanted.unseen(map), { wanted, kernel, report })
}

interface Sweeping {
  readonly wanted: Wanted
  readonly kernel: Pick<PinnedMaps, 'lookUp'>
  readonly report: SyncReport
}

async function findMissing(map: ServiceMap, keys: readonly string[], { wanted, kernel, report }: Sweeping): Promise<void> {
  for (let at = 0; at < keys.length; at += asked) {
    const some = keys.slice(at, at + asked)
    const there = new Set((await kernel.lookUp(some.map(key => ({ map, key })))).map(e => e.key))
    for (const key of some) {
      if (there.has(key) || wanted.isPending(map, key) || wanted.get(map, key) === undefined) continue
      wanted.touch(map, key)
      report.damaged(map, key, 'missing')
    }
  }
}
