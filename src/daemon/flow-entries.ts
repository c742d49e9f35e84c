// SPDX-License-Identifier: Apache-2.0

/** Bytes of the node, and what this process and its maps may use of them at most. */
export interface Memory {
  readonly node: number
  readonly limit: number
}

/** An entry of the table of flows, key and value and what the kernel keeps beside them; and with its part of the tables beside that one (docs/maps.md). */
const [entryBytes, entryBytesWithAll] = [152, 336]
const [fewest, most] = [16_384, 2_097_152]

/**
 * How many flows the node has room for: a four hundredth of its memory, and with the tables beside never more than a third of what the process may use, since
 * the kernel charges the maps to it. Rounded down to a power of two, so that nodes of one kind are alike.
 */
export function flowEntriesFor({ node, limit }: Memory): number {
  const fitting = Math.min(node / 400 / entryBytes, limit / 3 / entryBytesWithAll)
  return Math.min(most, Math.max(fewest, 2 ** Math.floor(Math.log2(fitting))))
}
