// SPDX-License-Identifier: Apache-2.0
import type { ServiceMap } from '#state/entry.ts'

/** What was wrong with an entry of a map: another value, none, or one that nothing wants. */
export type Damage = 'changed' | 'missing' | 'foreign'

/** What sync tells of its work, for logs and metrics. */
export interface SyncReport {
  /** Everything that was wanted is in the maps, so many milliseconds after the first of it became known. */
  written(entries: number, latency: number): void
  /** By the kernel; it is tried again. */
  refused(map: ServiceMap, error: unknown): void
  /** Found by the comparison of a map with what is wanted; it is put right at once. */
  damaged(map: ServiceMap, key: string, damage: Damage): void
  /** A look at the maps came to nothing; it is repeated. */
  failed(error: unknown): void
  /** The maps are others than before, and empty. */
  renewed(): void
}
