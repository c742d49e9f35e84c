// SPDX-License-Identifier: Apache-2.0
import { figures } from '../measure/figures.ts'
import { isMet, type Row } from '../measure/row.ts'

/** The columns of every table: figure, value with unit, spread, goal, verdict. */
function cells(r: Row): readonly string[] {
  const unit = r.unit === 'ratio' || r.unit === 'count' ? '' : ` ${r.unit}`
  const spread = r.rounds > 1 ? `${r.spread[0]} – ${r.spread[1]}` : ''
  const goal = r.goal === null ? '' : `${figures[r.figure]?.atLeast === true ? '≥' : '≤'} ${r.goal}`
  const met = isMet(r)
  return [r.figure, `${r.value}${unit}`, spread, goal, met === undefined ? '' : met ? 'met' : 'falls short']
}

const head = ['figure', 'value', 'spread', 'goal', '']

export function textTable(rows: readonly Row[]): string {
  const lines = [head, ...rows.map(cells)]
  const widths = head.map((_, i) => Math.max(...lines.map(l => l[i]?.length ?? 0)))
  return lines
    .map(line =>
      line
        .map((cell, i) => cell.padEnd(widths[i] ?? 0))
        .join('  ')
        .trimEnd(),
    )
    .join('\n')
}

/** With what each figure means, for a page. */
export function markdownTable(rows: readonly Row[]): string {
  const lines = rows.map(r => {
    const [figure = '', value, spread, goal, verdict] = cells(r)
    return `| \`${figure}\` | ${value} | ${spread} | ${goal} | ${verdict} | ${figures[figure]?.what ?? ''} |`
  })
  return ['| figure | median | spread | goal | | what |', '|---|---|---|---|---|---|', ...lines].join('\n')
}

/** One line: how many goals are met. */
export function summary(rows: readonly Row[]): string {
  const judged = rows.flatMap(r => isMet(r) ?? [])
  const met = judged.filter(Boolean).length
  const short = rows.some(r => r.machine.quick) ? ' (a short run: these figures mean nothing)' : ''
  return `${goalsMet(met, judged.length - met)}${short}`
}

export function goalsMet(met: number, missed: number): string {
  return `${met} of ${met + missed} goals met, ${missed} fall short`
}
