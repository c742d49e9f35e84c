// SPDX-License-Identifier: Apache-2.0

/** The value below which the part `p` (0…1) of the values lies, by nearest rank. Throws when there are none. */
export function percentile(values: readonly number[], p: number): number {
  const sorted = [...values].sort((a, b) => a - b)
  const found = sorted[Math.max(0, Math.ceil(p * sorted.length) - 1)]
  if (found === undefined) throw new Error('no values')
  return found
}

/** The middle value; the mean of the two middle ones for an even number. Throws when there are none. */
export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b)
  const [low, high] = [sorted[Math.floor((sorted.length - 1) / 2)], sorted[Math.ceil((sorted.length - 1) / 2)]]
  if (low === undefined || high === undefined) throw new Error('no values')
  return (low + high) / 2
}

/** The slope of the straight line with the least squares through the points. Throws when they have one x or none. */
export function slope(points: readonly (readonly [x: number, y: number])[]): number {
  const mean = (values: readonly number[]) => values.reduce((a, b) => a + b, 0) / values.length
  const [mx, my] = [mean(points.map(p => p[0])), mean(points.map(p => p[1]))]
  const square = points.reduce((sum, [x]) => sum + (x - mx) ** 2, 0)
  if (!(square > 0)) throw new Error('a line needs two points')
  return points.reduce((sum, [x, y]) => sum + (x - mx) * (y - my), 0) / square
}

/** Medians of `count` equal stretches of a long series, so that its spread is that of rounds and not of single events. */
export function stretches(values: readonly number[], count = 10): number[] {
  const size = Math.max(1, Math.ceil(values.length / count))
  return Array.from({ length: Math.ceil(values.length / size) }, (_, i) => median(values.slice(i * size, (i + 1) * size)))
}
