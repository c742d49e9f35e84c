// SPDX-License-Identifier: Apache-2.0
// `make bench`: every benchmark in turn, each in a process of its own; then tables, pictures, and docs/benchmarks.md.
// Arguments: names of benchmarks; without any all are run. QUICK=1: short runs, which show that everything works and publish
// nothing. `--show` runs nothing and shows what bench/out holds.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { loadavg } from 'node:os'
import { join } from 'node:path'
import { quick } from './measure/machine.ts'
import { type Benchmark, draw, measured, updatePage } from './show/page.ts'
import { summary, textTable } from './show/table.ts'

const benchmarks: readonly Benchmark[] = [
  { name: 'cni', title: 'ADD and DEL' },
  { name: 'terwayd-memory', title: 'Memory of terwayd' },
  { name: 'pool', title: 'Addresses and new nodes' },
  { name: 'repair', title: 'Repair under living connections' },
  { name: 'simulation', title: 'Deterministic simulation' },
  { name: 'sync', title: 'Services into maps' },
  { name: 'datapath', title: 'Packets' },
  { name: 'pod', title: 'Pods, with the kubelet' },
]

async function run(name: string): Promise<boolean> {
  const started = performance.now()
  console.log(`\nbench: ${name}${quick ? ' (quick)' : ''}`)
  const child = spawn(process.execPath, [join(import.meta.dirname, `${name}.ts`)], { stdio: ['ignore', 'inherit', 'inherit'] })
  const stop = () => child.kill('SIGTERM')
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, stop)
  const [code] = await once(child, 'exit')
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.off(signal, stop)
  console.log(`bench: ${name} ${code === 0 ? 'done' : 'FAILED'} in ${((performance.now() - started) / 1000).toFixed(0)} s`)
  return code === 0
}

const args = process.argv.slice(2)
const named = args.filter(a => a !== '--show')
const unknown = named.filter(n => !benchmarks.some(b => b.name === n))
if (unknown.length > 0) throw new Error(`no benchmark ${unknown.join(', ')}: there are ${benchmarks.map(b => b.name).join(' ')}`)
const wanted = benchmarks.filter(b => named.length === 0 || named.includes(b.name))
// Before the first one: later ones would see the load that we made ourselves.
process.env.TERWAY_BENCH_LOAD ??= loadavg()[0]?.toFixed(2)
if (Number(process.env.TERWAY_BENCH_LOAD) > 1 && !args.includes('--show')) {
  console.log(`bench: the load average is ${process.env.TERWAY_BENCH_LOAD}: somebody else is at work, and the figures will say so`)
}
const failed: string[] = []
if (!args.includes('--show')) for (const { name } of wanted) if (!(await run(name))) failed.push(name)
draw(wanted)
updatePage(wanted)
const shown = measured(wanted).filter(b => !failed.includes(b.name))
for (const { title, rows } of shown) console.log(`\n${title}\n${textTable(rows)}`)
console.log(`\n${summary(shown.flatMap(b => b.rows))}${failed.length > 0 ? `; failed: ${failed.join(' ')}` : ''}`)
process.exitCode = failed.length > 0 ? 1 : 0
