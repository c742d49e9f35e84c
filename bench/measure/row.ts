// SPDX-License-Identifier: Apache-2.0
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { root } from '../../tools/components.ts'
import { figures } from './figures.ts'
import { type Machine, thisMachine } from './machine.ts'
import { median } from './stats.ts'

/** One published figure: the value is the median of the rounds, the spread their smallest and largest. */
export interface Row {
  readonly figure: string
  readonly value: number
  readonly unit: string
  /** The figure of the same run that a ratio is against, or null. */
  readonly baseline: string | null
  readonly goal: number | null
  readonly rounds: number
  readonly spread: readonly [min: number, max: number]
  readonly machine: Machine
}

export const outDir = join(root, 'bench', 'out')

/** A row from one value per round. Throws when the figure is not in figures.ts or there is no round. */
export function row(figure: string, perRound: readonly number[], baseline: string | null = null): Row {
  const known = figures[figure]
  if (known === undefined) throw new Error(`${figure} is not in bench/measure/figures.ts`)
  if (perRound.length === 0) throw new Error(`${figure} was not measured`)
  return {
    figure,
    value: rounded(median(perRound)),
    unit: known.unit,
    baseline,
    goal: known.goal ?? null,
    rounds: perRound.length,
    spread: [rounded(Math.min(...perRound)), rounded(Math.max(...perRound))],
    machine: thisMachine(),
  }
}

/** Ratios of two sides measured in the same rounds. */
export function ratios(ours: readonly number[], theirs: readonly number[]): number[] {
  return ours.map((value, i) => value / (theirs[i] ?? Number.NaN))
}

/** Writes bench/out/<benchmark>.json, one row per line. */
export function writeRows(benchmark: string, rows: readonly Row[]): void {
  mkdirSync(outDir, { recursive: true })
  writeFileSync(join(outDir, `${benchmark}.json`), `[\n${rows.map(r => `  ${JSON.stringify(r)}`).join(',\n')}\n]\n`)
}

export function readRows(benchmark: string): readonly Row[] {
  return JSON.parse(readFileSync(join(outDir, `${benchmark}.json`), 'utf8')) as Row[]
}

/** Whether the goal is met; undefined when there is none. */
export function isMet(r: Row): boolean | undefined {
  if (r.goal === null) return undefined
  return figures[r.figure]?.atLeast === true ? r.value >= r.goal : r.value <= r.goal
}

function rounded(value: number): number {
  return Number(value.toPrecision(4))
}
