// SPDX-License-Identifier: Apache-2.0
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { outDir } from './row.ts'

/** Something measured over something, for a picture. */
export interface Series {
  readonly x: string
  readonly y: string
  readonly lines: readonly { readonly name: string; readonly points: readonly (readonly [x: number, y: number])[] }[]
}

const fileOf = (benchmark: string) => join(outDir, `${benchmark}.series.json`)

/** Writes bench/out/<benchmark>.series.json. */
export function writeSeries(benchmark: string, series: Series): void {
  mkdirSync(outDir, { recursive: true })
  writeFileSync(fileOf(benchmark), `${JSON.stringify(series)}\n`)
}

/** Undefined for a benchmark that has none. */
export function readSeries(benchmark: string): Series | undefined {
  const file = fileOf(benchmark)
  return existsSync(file) ? (JSON.parse(readFileSync(file, 'utf8')) as Series) : undefined
}
