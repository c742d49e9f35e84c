// SPDX-License-Identifier: Apache-2.0
import { isMet, type Row } from '../measure/row.ts'
import { markdownTable } from '../show/table.ts'
import { type Cell, cells, figureOf, works } from './cells.ts'
import { kindLabels, placeLabels, workLabels } from './labels.ts'
import { type Profiled, partNames, profiledIn, profiledWays, profileFigure } from './profile-figures.ts'
import { type Part, parts } from './stacks.ts'

type Rows = ReadonlyMap<string, Row>

/** What fits on a page: the ways side by side and as a picture, where the time goes, and all figures with their spread, folded. */
export function datapathTables(all: readonly Row[], picture: readonly string[]): readonly string[] {
  const rows: Rows = new Map(all.map(r => [r.figure, r]))
  const told = new Set([...cells.map(figureOf), ...all.filter(r => r.figure.startsWith('dp.profile.')).map(r => r.figure)])
  const [folded, others] = [all.filter(r => told.has(r.figure)), all.filter(r => !told.has(r.figure))]
  return [
    'Speed against host to host, median; the baseline itself in its own unit.',
    waysTable(rows),
    ...picture,
    'What a way takes more than host to host, in µs for each round trip, connection, or MB:',
    profileTable(rows),
    markdownTable(others),
    `<details><summary>Every way, and every part of the time, with its spread</summary>\n\n${markdownTable(folded)}\n\n</details>`,
  ]
}

/** A line for each way, a column for each kind of work. */
function waysTable(rows: Rows): string {
  const groups = new Map<string, Map<string, Cell[]>>()
  for (const cell of cells) {
    const [group, line] = [groupOf(cell), cell.way.kind === 'host' ? 'host to host' : kindLabels[cell.way.kind]]
    const lines = groups.get(group) ?? new Map<string, Cell[]>()
    groups.set(group, lines.set(line, [...(lines.get(line) ?? []), cell]))
  }
  const lines = [...groups].flatMap(([group, ways]) => [
    `| **${group}** |${' |'.repeat(works.length)}`,
    ...[...ways].map(
      ([name, of]) =>
        `| ${name} | ${works
          .map(work =>
            shownOf(
              rows,
              of.find(cell => cell.work === work),
            ),
          )
          .join(' | ')} |`,
    ),
  ])
  return [`| | ${works.map(work => workLabels[work]).join(' | ')} |`, `|---|${'---|'.repeat(works.length)}`, ...lines].join('\n')
}

function groupOf({ way, family, cpus }: Cell): string {
  const conditions = [...(family === 6 ? ['IPv6'] : []), ...(cpus === 2 ? ['two CPUs'] : [])]
  const place = way.kind === 'host' ? [] : [placeLabels[way.between]]
  return [...conditions, ...place].join(', ') || 'baseline'
}

function shownOf(rows: Rows, cell: Cell | undefined): string {
  const found = cell && rows.get(figureOf(cell))
  if (found === undefined) return ''
  const verdict = isMet(found) === undefined ? '' : `, goal ${found.goal}${isMet(found) ? ' met' : ''}`
  return `${found.value}${found.unit === 'ratio' ? '' : ` ${found.unit}`}${verdict}`
}

/** A line for each way, a column for each part. */
function profileTable(rows: Rows): string {
  const lines = works.flatMap(work =>
    profiledIn[work]
      .filter(name => name !== 'host')
      .map(name => {
        const timeOf = (who: Profiled, part: Part) => rows.get(profileFigure(work, who, part))?.value ?? 0
        const more = parts.map(part => timeOf(name, part) - timeOf('host', part))
        const all = [...more, more.reduce((sum, us) => sum + us, 0)].map(us => us.toFixed(Math.abs(us) < 10 ? 2 : 1))
        return `| ${workLabels[work]}, ${profiledWays[name]} | ${all.join(' | ')} |`
      }),
  )
  return [`| | ${Object.values(partNames).join(' | ')} | together |`, `|---|${'---|'.repeat(parts.length + 1)}`, ...lines].join('\n')
}
