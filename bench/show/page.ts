// SPDX-License-Identifier: Apache-2.0
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { root } from '../../tools/components.ts'
import { datapathTables } from '../datapath/tables.ts'
import { outDir, type Row, readRows } from '../measure/row.ts'
import { readSeries } from '../measure/series.ts'
import { pictureOf } from './pictures.ts'
import { goalsMet, markdownTable } from './table.ts'

const page = join(root, 'docs', 'benchmarks.md')
const pictureDir = join(root, 'docs', 'benchmarks')

export interface Benchmark {
  readonly name: string
  readonly title: string
}

/** Those of the list that have run, with their rows. */
export function measured(list: readonly Benchmark[]): readonly (Benchmark & { readonly rows: readonly Row[] })[] {
  return list.filter(b => existsSync(join(outDir, `${b.name}.json`))).map(b => ({ ...b, rows: readRows(b.name) }))
}

/** Draws each benchmark into bench/out; a full run is drawn for the page too. */
export function draw(list: readonly Benchmark[]): void {
  for (const { name, rows } of measured(list)) {
    const picture = pictureOf(name, rows, readSeries(name))
    if (picture === undefined) continue
    writeFileSync(join(outDir, `${name}.svg`), picture)
    if (isQuick(rows)) continue
    mkdirSync(pictureDir, { recursive: true })
    writeFileSync(join(pictureDir, `${name}.svg`), picture)
  }
}

/**
 * Replaces what stands between `<!-- bench:NAME -->` and `<!-- /bench:NAME -->` in docs/benchmarks.md by the table and picture of that
 * benchmark, and `summary` by the sum of all. Prose around the markers stays. Short runs never reach the page.
 */
export function updatePage(list: readonly Benchmark[]): void {
  const published = measured(list).filter(b => !isQuick(b.rows))
  if (published.length === 0) return
  let text = readFileSync(page, 'utf8')
  for (const { name, rows } of published) {
    const picture = existsSync(join(pictureDir, `${name}.svg`)) ? [`![${name}](benchmarks/${name}.svg)`] : []
    const tables = name === 'datapath' ? datapathTables(rows, picture) : [markdownTable(rows), ...picture]
    text = between(text, name, [conditions(rows), ...tables].join('\n\n'))
  }
  writeFileSync(page, between(text, 'summary', `${sumOf(text)}.`))
}

/** Of what stands in the page's tables, whichever run it is from. */
export function sumOf(text: string): string {
  const count = (verdict: string) => text.split(`| ${verdict} |`).length - 1
  return goalsMet(count('met'), count('falls short'))
}

export function between(text: string, name: string, content: string): string {
  const [open, close] = [`<!-- bench:${name} -->`, `<!-- /bench:${name} -->`]
  const [start, end] = [text.indexOf(open), text.indexOf(close)]
  if (start < 0 || end < start) throw new Error(`docs/benchmarks.md has no ${open} … ${close}`)
  return `${text.slice(0, start + open.length)}\n${content}\n${text.slice(end)}`
}

function isQuick(rows: readonly Row[]): boolean {
  return rows.some(r => r.machine.quick)
}

function conditions(rows: readonly Row[]): string {
  const m = rows[0]?.machine
  if (m === undefined) return ''
  return `${m.cores} × ${m.cpu}, ${m.memoryGiB} GiB, Linux ${m.kernel}, Node ${m.node}; load average before the run ${m.loadBefore}.`
}
