// SPDX-License-Identifier: Apache-2.0

/** `seen` of the maps' entries counts these since boot, with 32 bits: about a millisecond each. */
export const unitsPerSecond = 1e9 / 2 ** 20

/** The kernel's clock as the programs read it. */
export function seenNow(): number {
  return Number(BigInt.asUintN(32, process.hrtime.bigint() >> 20n))
}

/** How long ago; what was seen a moment after `now` was read is 0. */
export function secondsSince(seen: number, now: number): number {
  const units = (now - seen) >>> 0
  return units > 2 ** 31 ? 0 : units / unitsPerSecond
}
