// SPDX-License-Identifier: Apache-2.0

/** Medians between two pods, in microseconds. */
export interface Figures {
  /** A byte there and back over a connection that is there. */
  readonly exchange: number
  /** Until a new connection is there. */
  readonly connect: number
}

/** A way between pods, and what it took by each kind of forwarding. */
export interface Compared {
  readonly way: string
  readonly v2: Figures
  readonly regular: Figures
}

/** What `heartbeat measure` (deploy/image/heartbeat.c) printed. Pure. */
export function figuresFrom(output: string): Figures {
  const told = /^exchange_us=([\d.]+) connect_us=([\d.]+)$/m.exec(output)
  if (told === null) throw new Error(`no figures: ${output.trim() || 'nothing was printed'}`)
  return { exchange: Number(told[1]), connect: Number(told[2]) }
}

export const comparedHead = ['median', 'DataPath V2', 'regular mode', 'V2 / regular'] as const

/** Two rows of the table for each way. Pure. */
export function comparedRows(all: readonly Compared[]): string[][] {
  const row = (what: string, v2: number, regular: number) => [what, micros(v2), micros(regular), (v2 / regular).toFixed(2)]
  return all.flatMap(({ way, v2, regular }) => [
    row(`${way}: a byte there and back`, v2.exchange, regular.exchange),
    row(`${way}: a new connection`, v2.connect, regular.connect),
  ])
}

function micros(value: number): string {
  return `${value.toFixed(1)} µs`
}
