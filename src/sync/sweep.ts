// SPDX-License-Identifier: Apache-2.0
import type { PinnedMaps } from '#kernel/port.ts'
import type { ServiceMap } from '#state/entry.ts'
import { pagesOf } from '#sync/pages.ts'
import type { SyncReport } from '#sync/report.ts'
import type { Wanted } from '#sync/wanted.ts'

/** Entries that are asked for by their keys in one call. */
const asked = 1000

/**
 * Compares one map with what is wanted; what differs is reported and becomes pending. Entries may be written meanwhile: what is pending, or was written
 * since the kernel was asked, is left out. Throws KernelError.
 */
export async function sweep(
  map: ServiceMap,
  wanted: Wanted,
  kernel: Pick<PinnedMaps, 'mapPage' | 'lookUp'>,
  report: SyncReport,
): Promise<void> {
  wanted.compare()
  try {
    await compareAll(map, { wanted, kernel, report })
    // Missing, or moved by the kernel from one page to another while it was read, which only a look can tell.
    await findMissing(map, wanted.unseen(map), { wanted, kernel, report })
  } finally {
    wanted.endRead()
  }
}

interface Sweeping {
  readonly wanted: Wanted
  readonly kernel: Pick<PinnedMaps, 'mapPage' | 'lookUp'>
  readonly report: SyncReport
}

async function compareAll(map: ServiceMap, { wanted, kernel, report }: Sweeping): Promise<void> {
  wanted.beginRead(map)
  for await (const page of pagesOf(kernel, map)) {
    for (const { key, value } of page) {
      if (wanted.meets(map, key, value) || wanted.isUncertain(map, key)) continue
      report.damaged(map, key, wanted.get(map, key) === undefined ? 'foreign' : 'changed')
      wanted.touch(map, key)
    }
    wanted.beginRead(map)
  }
}

async function findMissing(map: ServiceMap, keys: readonly string[], { wanted, kernel, report }: Sweeping): Promise<void> {
  for (let at = 0; at < keys.length; at += asked) {
    const some = keys.slice(at, at + asked)
    wanted.beginRead(map)
    const there = new Set((await kernel.lookUp(some.map(key => ({ map, key })))).map(e => e.key))
    for (const key of some) {
      if (there.has(key) || wanted.isUncertain(map, key) || wanted.get(map, key) === undefined) continue
      wanted.touch(map, key)
      report.damaged(map, key, 'missing')
    }
  }
}
