// SPDX-License-Identifier: Apache-2.0
// What a packet's way through a node costs, against the way from host to host over the same fabric: regular mode, with and without rules like
// kube-proxy's, and DataPath V2. Two nodes of each kind stand side by side, and every round measures all of them in turn.
import { execFileSync } from 'node:child_process'
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import type { ProgramName } from '#kernel/bpf/object.ts'
import { baselineOf, type Cell, cells, figureOf, type Kind, kinds } from './datapath/cells.ts'
import { counted, type MadeNode, makeReady, memoryOfMaps } from './datapath/node.ts'
import { timeOfRun } from './datapath/programs.ts'
import { addressOf, type BenchNode, forwarded, makeFabric, makeNode, makePod, netnsFile } from './datapath/world.ts'
import { amount } from './measure/machine.ts'
import { type Row, ratios, row, writeRows } from './measure/row.ts'
import { isolated } from './node/isolate.ts'
import { compiled } from './node/runner.ts'

const rounds = amount(7, 1)
const milliseconds = amount(600, 60)
const port = 7777
/** No policy allows it. */
const forbidden = 7778
const program = compiled('datapath/pingpong')

interface End {
  readonly netns: string
  readonly address: string
}
interface Result {
  readonly count: number
  readonly p50Us: number
  readonly gigabits: number
}
type Pairs = Readonly<Record<Kind, readonly [MadeNode, MadeNode]>>

function measure(
  cell: Pick<Cell, 'work' | 'cpus'>,
  [client, server]: readonly [End, End],
  { to = port, ms = milliseconds, programs = false } = {},
): Result {
  const serverCpu = cell.cpus === 1 ? 0 : 1
  const args = [
    cell.work,
    netnsFile(server.netns),
    serverCpu,
    netnsFile(client.netns),
    0,
    server.address,
    to,
    ms,
    ...(programs ? ['programs'] : []),
  ]
  return JSON.parse(execFileSync(program, args.map(String), { encoding: 'utf8', timeout: 20_000 }))
}

const hosts = [11, 12].map((number): BenchNode => ({ name: `host-${number}`, number })) as [BenchNode, BenchNode]
const hostEnds = hosts.map((node): End => ({ netns: node.name, address: addressOf(node) })) as [End, End]

function endsOf({ way }: Cell, pairs: Pairs): readonly [End, End] {
  if (way.kind === 'host') return hostEnds
  const [first, second] = pairs[way.kind]
  const end = (made: MadeNode, n: number): End => {
    const pod = made.pods[n]
    if (pod?.v4 === undefined) throw new Error(`${made.node.name} has no pod ${n}`)
    return { netns: pod.name, address: pod.v4.address }
  }
  return [end(first, 0), way.between === 'crossnode' ? end(second, 0) : end(first, 1)]
}

async function makePair(kind: Kind, dir: string): Promise<readonly [MadeNode, MadeNode]> {
  const nodes = [1, 2].map((n): BenchNode => ({ name: `${kind}-${n}`, number: 2 * kinds.indexOf(kind) + n }))
  const withPods = nodes.map(node => {
    makeNode(node)
    return { node, pods: [makePod(node, 1), makePod(node, 2)] }
  })
  const allowed = { addresses: withPods.flatMap(({ pods }) => pods.flatMap(pod => pod.v4?.address ?? [])), port }
  const made: MadeNode[] = []
  for (const { node, pods } of withPods) made.push(await makeReady(node, { kind, pods, dir, allowed }))
  const [first, second] = made
  if (first === undefined || second === undefined) throw new Error('a pair is two nodes')
  return [first, second]
}

/** That the programs carried the packets and the host stack none, and that the policy was asked. */
async function proven(pairs: Pairs, before: number): Promise<void> {
  for (const kind of ['v2', 'v2_nopolicy'] as const) {
    const { paths, drops } = await counted(pairs[kind][0])
    const unused = ['podToRemote', 'remoteToPod', 'podToPod'].filter(way => !((paths[way] ?? 0) > 0))
    const dropped = Object.entries(drops).filter(([reason, packets]) => packets > 0 && !(kind === 'v2' && reason === 'policy-egress'))
    if (unused.length > 0 || dropped.length > 0) throw new Error(`${kind}: ${JSON.stringify({ paths, drops })}`)
  }
  if (stackForwards(pairs) !== before) throw new Error('the host stack of a node with programs forwarded packets')
}

function stackForwards(pairs: Pairs): number {
  return [...pairs.v2, ...pairs.v2_nopolicy].reduce((sum, { node }) => sum + forwarded(node), 0)
}

/** What a packet of an open connection costs in each program, beside what the kernel does with its decision. */
function programRows([node]: Pairs['v2'], ends: readonly [End, End]): readonly Row[] {
  const times = (program: ProgramName) =>
    Array.from({ length: rounds }, () =>
      timeOfRun(node, program, () => measure({ work: 'tcp_rr', cpus: 1 }, ends, { ms: milliseconds / 3, programs: true })),
    )
  return [row('dp.v2.pod_in.us', times('pod_in')), row('dp.v2.eni_in.us', times('eni_in'))]
}

function rowsOf(results: ReadonlyMap<string, readonly Result[]>, pairs: Pairs): readonly Row[] {
  const values = (figure: string, work: Cell['work']) =>
    (results.get(figure) ?? []).map(({ p50Us, gigabits }) => (work === 'stream' ? gigabits : p50Us))
  const rows = cells.map(cell => {
    const [figure, baseline] = [figureOf(cell), baselineOf(cell)]
    const [ours, theirs] = [values(figure, cell.work), values(baseline, cell.work)]
    if (cell.way.kind === 'host') return row(figure, ours)
    return row(figure, cell.work === 'stream' ? ratios(ours, theirs) : ratios(theirs, ours), baseline)
  })
  const againstBest = (['tcp_rr', 'crr'] as const).map(work => {
    const times = (kind: Kind) => values(figureOf({ way: { kind, between: 'crossnode' }, work, cpus: 1 }), work)
    const [plain, ...others] = [times('veth'), times('veth_nft'), times('veth_ipt')]
    const best = (plain ?? []).map((us, round) => Math.min(us, ...others.map(other => other[round] ?? us)))
    return row(`dp.v2.crossnode.${work}.1cpu.vs_best_veth`, ratios(times('v2'), best))
  })
  const made = [...pairs.v2_nopolicy, ...pairs.v2]
  const loads = made.flatMap(({ loadMs }) => loadMs ?? [])
  return [...rows, ...againstBest, row('dp.v2.load.ms', loads), row('dp.v2.maps.mb', pairs.v2.map(memoryOfMaps))]
}

await isolated(async dir => {
  mkdirSync(join(dir, 'bpf'))
  execFileSync('mount', ['-t', 'bpf', 'bpf', join(dir, 'bpf')])
  makeFabric()
  hosts.forEach(makeNode)
  const made: [Kind, readonly [MadeNode, MadeNode]][] = []
  for (const kind of kinds) made.push([kind, await makePair(kind, dir)])
  const pairs = Object.fromEntries(made) as unknown as Pairs
  const udp: Cell = { way: { kind: 'v2', between: 'crossnode' }, work: 'udp_rr', cpus: 1 }
  if (measure(udp, endsOf(udp, pairs), { to: forbidden, ms: 50 }).count > 0) throw new Error('the policy does not hold')
  const before = stackForwards(pairs)
  const results = new Map<string, Result[]>()
  for (let round = 0; round < rounds; round++) {
    for (const cell of cells) {
      const figure = figureOf(cell)
      results.set(figure, [...(results.get(figure) ?? []), measure(cell, endsOf(cell, pairs))])
    }
    console.log(`datapath: round ${round + 1} of ${rounds}`)
  }
  await proven(pairs, before)
  writeRows('datapath', [...rowsOf(results, pairs), ...programRows(pairs.v2, endsOf(udp, pairs))])
})
