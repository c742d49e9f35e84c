// SPDX-License-Identifier: Apache-2.0
import { datapathPanels } from '../datapath/picture.ts'
import { figures } from '../measure/figures.ts'
import type { Row } from '../measure/row.ts'
import type { Series } from '../measure/series.ts'
import { type Bar, bars, curves, type Panel, stack, svg } from './svg.ts'

const ours = 0
const theirs = 1

/** The picture of one benchmark; undefined when its figures say more as a table. */
export function pictureOf(benchmark: string, rows: readonly Row[], series: Series | undefined): string | undefined {
  const found = new Map(rows.map(r => [r.figure, r]))
  const panels = (pictures[benchmark] ?? (() => []))(found, series).filter(p => p.elements.length > 0)
  return panels.length === 0 ? undefined : svg(panels)
}

type Picture = (rows: ReadonlyMap<string, Row>, series: Series | undefined) => readonly Panel[]

const pictures: Readonly<Record<string, Picture>> = {
  cni: rows => [
    bars('One pod after the other, median (goal: against ptp)', 'ms', [
      ...bar(rows, 'cni.add.p50.ms', 'ADD terway', ours, against(rows, 'cni.add.p50.vs_ptp', 'cni.ptp.add.p50.ms')),
      ...bar(rows, 'cni.ptp.add.p50.ms', 'ADD ptp', theirs),
      ...bar(rows, 'cni.del.p50.ms', 'DEL terway', ours, against(rows, 'cni.del.p50.vs_ptp', 'cni.ptp.del.p50.ms')),
      ...bar(rows, 'cni.ptp.del.p50.ms', 'DEL ptp', theirs),
    ]),
    bars('Slowest of a hundred', 'ms', [
      ...bar(rows, 'cni.add.p99.ms', 'ADD terway', ours, against(rows, 'cni.add.p99.vs_ptp', 'cni.ptp.add.p99.ms')),
      ...bar(rows, 'cni.ptp.add.p99.ms', 'ADD ptp', theirs),
    ]),
    bars('100 pods at once: until the last one has its network', 'ms', [
      ...bar(rows, 'cni.add100.ms', 'terway', ours, against(rows, 'cni.add100.vs_ptp', 'cni.ptp.add100.ms')),
      ...bar(rows, 'cni.ptp.add100.ms', 'ptp', theirs),
    ]),
    stack('Where the time of an ADD goes (median of each part)', 'ms', partsOf(rows)),
  ],
  'terwayd-memory': (rows, series) => [
    bars('Resident memory of terwayd', 'MB', [
      ...bar(rows, 'terwayd.rss.idle.mb', 'idle', ours),
      ...bar(rows, 'terwayd.rss.200pods.mb', '200 pods', ours),
      ...bar(rows, 'terwayd.rss.after20k.mb', 'after the churn', ours),
    ]),
    ...(series === undefined ? [] : [curves('While pods come and go', series, series.lines)]),
  ],
  pool: rows => [
    bars('Empty pool to 50 addresses', 's', [
      ...bar(rows, 'pool.fill50.s', 'terway', ours),
      ...bar(rows, 'pool.fill50.limit.s', 'the cloud itself', theirs),
    ]),
    bars('Node joined to first pod, beyond what the cloud takes', 's', bar(rows, 'node.join.first_pod.s', 'terway', ours)),
  ],
  repair: rows => [
    bars(
      'Longest pause of a connection while damage is repaired (goal: 250 ms)',
      'ms',
      [...rows.keys()]
        .filter(figure => figure.startsWith('repair.gap.'))
        .flatMap(figure => bar(rows, figure, figure.split('.')[2]?.replaceAll('_', ' ') ?? figure, ours, 250)),
    ),
  ],
  datapath: rows => datapathPanels(rows),
  pod: rows => [
    bars('Pod created to Running and reachable', 'ms', [
      ...bar(rows, 'pod.ready.ms', 'terway', ours, against(rows, 'pod.ready.vs_ptp', 'pod.ptp.ready.ms')),
      ...bar(rows, 'pod.ptp.ready.ms', 'ptp', theirs),
    ]),
  ],
}

function partsOf(rows: ReadonlyMap<string, Row>): readonly { readonly label: string; readonly value: number }[] {
  return [...rows.values()].flatMap(({ figure, value }) => {
    const label = /^cni\.add\.phase\.(\w+)\.ms$/.exec(figure)?.[1]
    return label === undefined ? [] : [{ label, value }]
  })
}

function bar(rows: ReadonlyMap<string, Row>, figure: string, label: string, color: number, goal?: number): readonly Bar[] {
  const found = rows.get(figure)
  if (found === undefined) return []
  const limit = goal ?? found.goal ?? undefined
  return [{ label, value: found.value, spread: found.spread, color, ...(limit === undefined ? {} : { goal: limit }) }]
}

/** What the goal of a ratio means in the unit of its baseline. */
function against(rows: ReadonlyMap<string, Row>, ratio: string, baseline: string): number | undefined {
  const goal = figures[ratio]?.goal
  const base = rows.get(baseline)?.value
  return goal === undefined || base === undefined ? undefined : goal * base
}
