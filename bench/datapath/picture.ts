// SPDX-License-Identifier: Apache-2.0
import type { Row } from '../measure/row.ts'
import { type Bar, bars, type Panel, stacks } from '../show/svg.ts'
import { type Between, type Cell, cells, figureOf, type Kind, works } from './cells.ts'
import { kindLabels, workLabels } from './labels.ts'
import { partNames, profiledIn, profiledWays, profileFigure, trips } from './profile-figures.ts'
import { parts } from './stacks.ts'

/** What a reader compares; the tables have the rest. */
const shown: Readonly<Partial<Record<Between, { readonly place: string; readonly kinds: readonly Kind[] }>>> = {
  crossnode: { place: 'two nodes', kinds: ['veth', 'veth_nft', 'veth_ipt', 'minimal', 'v2'] },
  samenode: { place: 'one node', kinds: ['veth', 'veth_nft', 'minimal', 'v2'] },
  service: { place: 'Service', kinds: ['veth_nft', 'veth_ipt', 'v2'] },
}
const colors: Readonly<Partial<Record<Kind, number>>> = { veth: 1, veth_nft: 2, veth_ipt: 3, minimal: 4 }

/** On one CPU: how fast each way is against host to host, one panel for each kind of work; and where the time goes. */
export function datapathPanels(rows: ReadonlyMap<string, Row>): readonly Panel[] {
  const panel = (title: string, which: (cell: Cell) => boolean) =>
    bars(
      `${title} — speed against host to host`,
      '',
      cells.filter(cell => cell.cpus === 1 && which(cell)).flatMap(cell => barOf(rows, cell)),
      1,
    )
  return [
    ...works.map(work => panel(workLabels[work], cell => cell.family === 4 && cell.work === work)),
    ...(['tcp_rr', 'crr'] as const).map(work => panel(`IPv6, ${workLabels[work]}`, cell => cell.family === 6 && cell.work === work)),
    ...works.map(work => profilePanel(rows, work)),
  ]
}

function barOf(rows: ReadonlyMap<string, Row>, cell: Cell): readonly Bar[] {
  const found = rows.get(figureOf(cell))
  if (found === undefined || cell.way.kind === 'host') return []
  const { kind, between } = cell.way
  const { place, kinds = [] } = shown[between] ?? {}
  if (!kinds.includes(kind)) return []
  const label = `${place}: ${kindLabels[kind]}`
  return [
    { label, value: found.value, spread: found.spread, color: colors[kind] ?? 0, ...(found.goal === null ? {} : { goal: found.goal }) },
  ]
}

function profilePanel(rows: ReadonlyMap<string, Row>, work: Cell['work']): Panel {
  const items = profiledIn[work].map(name => ({
    label: profiledWays[name],
    values: parts.map(part => rows.get(profileFigure(work, name, part))?.value ?? 0),
  }))
  // One legend is enough, below the last.
  return stacks(`Where the time goes of ${trips[work]}`, 'µs', work === works.at(-1) ? Object.values(partNames) : [], items)
}
