// SPDX-License-Identifier: Apache-2.0
import type { ProgramName } from '#kernel/bpf/object.ts'
import { amount } from '../measure/machine.ts'
import { type Row, ratios, row } from '../measure/row.ts'
import { baselineOf, type Cell, cells, figureOf, type Kind, kindNames, kindOf, type Work } from './cells.ts'
import { type Ends, measure, milliseconds, type Result } from './load.ts'
import { type MadeNode, memoryOfMaps, memoryOfPrograms } from './node.ts'
import { timeOfRun, timePerTrip } from './programs.ts'
import type { Pairs } from './proof.ts'

export const rounds = amount(7, 1)

/** Each cell against its baseline, in the same rounds, and some against each other. */
export function pathRows(results: ReadonlyMap<string, readonly Result[]>): readonly Row[] {
  const values = (figure: string, work: Work) =>
    (results.get(figure) ?? []).map(({ p50Us, gigabits }) => (work === 'stream' ? gigabits : p50Us))
  const rows = cells.map(cell => {
    const [figure, baseline] = [figureOf(cell), baselineOf(cell)]
    const [ours, theirs] = [values(figure, cell.work), values(baseline, cell.work)]
    if (cell.way.kind === 'host') return row(figure, ours)
    return row(figure, cell.work === 'stream' ? ratios(ours, theirs) : ratios(theirs, ours), baseline)
  })
  const times = (work: Cell['work'], kind: Kind, between: 'crossnode' | 'service') =>
    values(figureOf({ way: { kind, between }, family: 4, work, cpus: 1 }), work)
  const against = (figure: string, ours: readonly number[], others: readonly (readonly number[])[]) =>
    row(
      figure,
      ratios(
        ours,
        others.reduce((best, other) => best.map((us, round) => Math.min(us, other[round] ?? us))),
      ),
    )
  const best = (['tcp_rr', 'crr'] as const).flatMap(work => {
    const of = (between: 'crossnode' | 'service', ...which: readonly Kind[]) => which.map(kind => times(work, kind, between))
    return [
      against(`dp.v2.crossnode.${work}.1cpu.vs_best_veth`, times(work, 'v2', 'crossnode'), of('crossnode', 'veth', 'veth_nft', 'veth_ipt')),
      against(`dp.v2.${work}.svc1000.vs_best_rules`, times(work, 'v2', 'service'), of('service', 'veth_nft', 'veth_ipt')),
    ]
  })
  return [
    ...rows,
    ...best,
    against('dp.v2.crr.svc10000.vs_svc1', times('crr', 'v2_svc10k', 'service'), [times('crr', 'v2_svc1', 'service')]),
  ]
}

export function sizeRows(pairs: Pairs): readonly Row[] {
  const memory = (kind: Kind) => pairs[kind].map(memoryOfMaps)
  const loads = kindNames
    .filter(kind => kindOf(kind).flowEntries === undefined)
    .flatMap(kind => pairs[kind].flatMap(({ loadMs }) => loadMs ?? []))
  return [
    row('dp.v2.load.ms', loads),
    row('dp.v2.programs.mb', pairs.v2.map(memoryOfPrograms)),
    row('dp.v2.maps.mb', memory('v2')),
    row('dp.v2.maps.svc10000.mb', memory('v2_svc10k')),
    row('dp.v2.maps.ct1m.mb', memory('v2_ct1m')),
  ]
}

type Measured = 'crossnode' | 'service' | 'socket'

/** What a run of each program costs, beside what the kernel does with its decision; and all of them together for a round trip or a connection. */
export function programRows(pair: readonly [MadeNode, MadeNode], ends: (between: Measured) => Ends): readonly Row[] {
  const count = (work: Work, between: Measured) => measure({ work, cpus: 1 }, ends(between), { ms: milliseconds / 3, programs: true })
  const eachRound = (figure: string, fn: () => number) => row(figure, Array.from({ length: rounds }, fn))
  const run = (figure: string, program: ProgramName, between: Measured, work: Work) =>
    eachRound(figure, () => timeOfRun(pair[0], program, () => count(work, between)))
  const trip = (figure: string, between: Measured, work: Work) => eachRound(figure, () => timePerTrip(pair, () => count(work, between)))
  return [
    trip('dp.v2.tcp_rr.programs.us', 'crossnode', 'tcp_rr'),
    trip('dp.v2.tcp_rr.svc1000.programs.us', 'service', 'tcp_rr'),
    trip('dp.v2.crr.programs.us', 'crossnode', 'crr'),
    trip('dp.v2.crr.svc1000.programs.us', 'service', 'crr'),
    run('dp.v2.pod_in.us', 'pod_in', 'crossnode', 'tcp_rr'),
    run('dp.v2.eni_in.us', 'eni_in', 'crossnode', 'tcp_rr'),
    run('dp.v2.pod_in.service.us', 'pod_in', 'service', 'tcp_rr'),
    run('dp.v2.eni_in.service.us', 'eni_in', 'service', 'tcp_rr'),
    run('dp.v2.pod_in.crr.us', 'pod_in', 'crossnode', 'crr'),
    run('dp.v2.eni_in.crr.us', 'eni_in', 'crossnode', 'crr'),
    run('dp.v2.pod_in.crr.service.us', 'pod_in', 'service', 'crr'),
    run('dp.v2.eni_in.crr.service.us', 'eni_in', 'service', 'crr'),
    run('dp.v2.node_out.us', 'node_out', 'socket', 'tcp_rr'),
    run('dp.v2.node_in.us', 'node_in', 'socket', 'tcp_rr'),
    run('dp.v2.connect4.us', 'connect4', 'socket', 'crr'),
  ]
}
