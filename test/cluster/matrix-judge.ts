// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import type { TestContext } from 'node:test'
import type { Lab } from '../../lab/lab.ts'
import { inDaemon } from '../../lab/terway.ts'
import { batches, type Door, doors, type Node, notAsked, type Row, relationOf, type Source, sources, type Without } from './matrix.ts'
import { ask, type Cell, type Parties } from './matrix-run.ts'

/** `terway-cli datapath` on a node. */
export const datapath = (lab: Lab, node: string, ...args: readonly string[]) => inDaemon(lab, node, 'terway-cli', 'datapath', ...args)

type Counts = Readonly<Record<string, number>>
/** How many packets took each path on a node, or were dropped, as it tells everybody. */
async function counted(lab: Lab, node: Node): Promise<Counts> {
  const told = (await datapath(lab, node, 'status')).matchAll(/ ([\w-]+): (\d+) packets/g)
  return Object.fromEntries([...told].map(m => [m[1] ?? '', Number(m[2])]))
}
/** Packets on each path since then; what is none of ours is on no path. */
const taken = (before: Counts, after: Counts): ReadonlyMap<string, number> =>
  new Map(
    Object.entries(after)
      .map(([path, packets]) => [path, packets - (before[path] ?? 0)] as const)
      .filter(([path, packets]) => path !== 'none' && packets > 0),
  )

const titleOf = (row: Row) => {
  const door = ['NodePort', 'hostPort', 'externalIP'].includes(row.to) ? ` of ${row.door}` : ''
  return `${row.from} → ${row.to}${door}${row.policy === 'Local' ? ' (Local)' : ''}, pod on ${row.backend}`
}

const cellsOf = (cells: readonly Cell[], row: Row) =>
  [4, 6].flatMap(family =>
    ['tcp', 'udp'].map(protocol => {
      if (row.without?.family === family) return 'n/a'
      return cells.find(c => c.family === family && c.protocol === protocol)?.wrong === undefined ? 'ok' : 'WRONG'
    }),
  )

/** From outside a pod and its port of the node are reached at their own node alone, and a balancer chooses the node itself. */
const relations = (from: Source, to: Door) =>
  from === 'outside' && to !== 'NodePort' && to !== 'externalIP' ? ['same node'] : ['same node', 'other node']

/** Every source is before every door, by each policy: of the same node and of another one, or it is said why not. */
export function requireComplete(
  rows: readonly Row[],
  without: readonly Without[],
  policies: readonly Row['policy'][],
  from = Object.keys(sources) as readonly Source[],
): void {
  for (const source of from) requireSource(source, rows, without, policies)
}

function requireSource(from: Source, rows: readonly Row[], without: readonly Without[], policies: readonly Row['policy'][]): void {
  for (const to of doors)
    for (const policy of policies) {
      const here = rows.filter(row => row.from === from && row.to === to && row.policy === policy)
      const excused = without.some(w => (w.from ?? from) === from && w.to === to && (w.policy ?? policy) === policy)
      const title = `${from} → ${to} (${policy})`
      if (excused) assert.deepEqual(here, [], title)
      else
        for (const relation of relations(from, to))
          assert.ok(
            here.some(row => relationOf(row) === relation),
            `${title}, ${relation}`,
          )
    }
}

/** Asks all rows and prints them; returns in words what was wrong. */
export class Matrix {
  readonly #parties: Parties
  /** Where packets are counted. */
  readonly #nodes: readonly Node[]
  readonly #cells = new Map<Row, readonly Cell[]>()
  readonly #wrong: string[] = []
  #before: readonly Counts[] = []

  constructor(parties: Parties, nodes: readonly Node[]) {
    this.#parties = parties
    this.#nodes = nodes
  }

  async run(t: TestContext, rows: readonly Row[], without: readonly Without[]): Promise<readonly string[]> {
    this.#before = await this.#counted()
    for (const batch of batches(rows)) await this.#settle(batch)
    for (const row of rows) {
      const cells = this.#cells.get(row) ?? []
      const paths = row.paths === 'by chance' ? row.paths : [...new Set(Object.values(row.paths).flat())].join(' ')
      t.diagnostic(`${titleOf(row).padEnd(56)} ${cellsOf(cells, row).join(' ')} ${paths}`)
      this.#wrong.push(...cells.flatMap(c => c.wrong ?? []).map(text => `${titleOf(row)}: ${text}`))
    }
    for (const { from = 'anybody', to, policy, why } of without)
      t.diagnostic(`${`${from} → ${to}${policy === undefined ? '' : ` (${policy})`}`.padEnd(56)} n/a: ${why}`)
    for (const { what, why } of notAsked) t.diagnostic(`${what.padEnd(56)} n/a: ${why}`)
    t.diagnostic(`${this.#cells.size} rows, ${[...this.#cells.values()].flat().length} exchanges, ${this.#wrong.length} wrong`)
    return this.#wrong
  }

  #counted(): Promise<readonly Counts[]> {
    return Promise.all(this.#nodes.map(node => counted(this.#parties.lab, node)))
  }

  async #settle(batch: readonly Row[]): Promise<void> {
    const bySource = [...Map.groupBy(batch, row => row.from).values()]
    const cells = await Promise.all(bySource.map(rows => ask(this.#parties, rows)))
    const after = await this.#counted()
    const ways = this.#ways(batch, cells.flat(2).length, after)
    this.#before = after
    for (const [i, rows] of bySource.entries()) for (const [j, row] of rows.entries()) this.#cells.set(row, cells[i]?.[j] ?? [])
    this.#wrong.push(...ways.map(text => `${batch.map(titleOf).join('; ')}: ${text}`))
    // Once more, to tell which it is.
    if (ways.length > 0 && batch.length > 1) for (const row of batch) await this.#settle([row])
  }

  /** Rows of one batch have the same paths, and each exchange has a packet on each of them. In words; empty when it was so. */
  #ways([first]: readonly Row[], exchanges: number, after: readonly Counts[]): readonly string[] {
    const paths = first?.paths
    if (paths === undefined || paths === 'by chance') return []
    return this.#nodes.flatMap((node, i) => {
      const is = taken(this.#before[i] ?? {}, after[i] ?? {})
      const wanted = [...new Set(paths[node] ?? [])].sort()
      const right = [...is.keys()].sort().join() === wanted.join() && [...is.values()].every(packets => packets >= exchanges)
      const told = [...is].map(([path, packets]) => `${path} (${packets})`).join(', ')
      return right ? [] : [`${node}: ${exchanges} exchanges took ${told || 'no path'} instead of ${wanted.join(', ') || 'none'}`]
    })
  }
}
