// SPDX-License-Identifier: Apache-2.0

/**
 * The numbered slots of a set: its backends in any order, each once. Who stays keeps its slot, who comes takes one that is free, and the last one moves into what is still
 * free, so that a backend that goes costs two entries, however many there are.
 */
export function nextSlots(slots: readonly number[], members: ReadonlySet<number>): readonly number[] {
  const present = new Set(slots)
  const coming = [...members].filter(id => !present.has(id)).values()
  const seen = new Set<number>()
  const next = slots.map(id => {
    // Slots of a table of Maglev have a backend many times.
    const stays = members.has(id) && !seen.has(id)
    seen.add(id)
    return stays ? id : coming.next().value
  })
  return compact([...next, ...coming])
}

function compact(slots: readonly (number | undefined)[]): readonly number[] {
  const out = [...slots]
  for (let i = 0; i < out.length; i++) {
    while (out.length > i && out.at(-1) === undefined) out.pop()
    if (i < out.length && out[i] === undefined) out[i] = out.pop()
  }
  return out.flatMap(id => id ?? [])
}
