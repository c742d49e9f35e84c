// SPDX-License-Identifier: Apache-2.0
import type { MapName } from '#kernel/bpf/maps.ts'
import type { Kernel } from '#kernel/port.ts'
import type { EntryState } from '#kernel/state.ts'

export const pageSize = 1000

/** All entries of a map, page by page: others get their turn between two. An entry may come twice when others go meanwhile. */
export async function* pagesOf(kernel: Pick<Kernel, 'mapPage'>, map: MapName): AsyncGenerator<readonly EntryState[]> {
  let after: string | undefined
  for (;;) {
    const page = await kernel.mapPage(map, after, pageSize)
    yield page
    after = page.at(-1)?.key
    if (page.length < pageSize) return
  }
}
