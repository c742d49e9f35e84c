// SPDX-License-Identifier: Apache-2.0
import type { MapName } from '#kernel/bpf/maps.ts'
import type { PinnedMaps } from '#kernel/port.ts'
import type { EntryState } from '#kernel/state.ts'

/** All entries of a map, page by page: others get their turn between two. */
export async function* pagesOf(kernel: Pick<PinnedMaps, 'mapPage'>, map: MapName): AsyncGenerator<readonly EntryState[]> {
  for (let after: Uint8Array | undefined; ; ) {
    const { entries, next } = await kernel.mapPage(map, after)
    yield entries
    if (next === undefined) return
    after = next
  }
}
