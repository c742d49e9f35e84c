// SPDX-License-Identifier: Apache-2.0

/** A prime: each backend's walk over the table comes to every slot. */
export const maglevSlots = 1021

/**
 * A table of Maglev (Eisenbud et al., NSDI 2016): which backend each slot has follows from the names alone, so every node has the same one; each backend
 * has about as many slots as the others; and when one comes or goes, few slots change between those that stay.
 */
export function maglevTable(names: readonly string[]): readonly number[] {
  if (names.length === 0) return []
  const walks = names.map(name => {
    const [offset, skip] = [hash(name, 0), hash(name, 1)]
    return { at: offset % maglevSlots, skip: (skip % (maglevSlots - 1)) + 1 }
  })
  const order = names.map((_, i) => i).sort((a, b) => (at(names, a) < at(names, b) ? -1 : 1))
  const table: number[] = new Array(maglevSlots).fill(-1)
  for (let filled = 0; ; ) {
    for (const i of order) {
      const walk = at(walks, i)
      while (table[walk.at] !== -1) walk.at = (walk.at + walk.skip) % maglevSlots
      table[walk.at] = i
      if (++filled === maglevSlots) return table
    }
  }
}

function at<T>(list: readonly T[], i: number): T {
  const item = list[i]
  if (item === undefined) throw new RangeError(`no item ${i} of ${list.length}`)
  return item
}

/** FNV-1a with its bits mixed once more (Murmur's finish): names of neighbours differ in one digit. */
function hash(text: string, seed: number): number {
  let h = 0x811c9dc5 ^ Math.imul(seed, 0x9e3779b1)
  for (let i = 0; i < text.length; i++) h = Math.imul(h ^ text.charCodeAt(i), 0x01000193)
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b)
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35)
  return (h ^ (h >>> 16)) >>> 0
}
