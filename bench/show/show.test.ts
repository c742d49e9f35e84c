// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { root } from '../../tools/components.ts'
import { figures } from '../measure/figures.ts'
import { isMet, ratios, row } from '../measure/row.ts'
import { between, sumOf } from './page.ts'
import { pictureOf } from './pictures.ts'
import { markdownTable, summary, textTable } from './table.ts'

const rows = [
  row('cni.add.p50.vs_ptp', [0.2, 0.3, 0.1], 'cni.ptp.add.p50.ms'),
  row('cni.add.p50.ms', [2.5]),
  row('cni.ptp.add.p50.ms', [12]),
  row('cni.shim.ms', [0.7]),
  row('sim.ops', [20_400]),
]

test('a row is the median with its spread and goal; an unknown figure is refused', () => {
  const [first] = rows
  assert.deepEqual([first?.value, first?.spread, first?.goal, first?.rounds, first?.unit], [0.2, [0.1, 0.3], 0.25, 3, 'ratio'])
  assert.throws(() => row('cni.made.up', [1]), /cni.made.up is not in/)
  assert.throws(() => row('cni.shim.ms', []), /was not measured/)
  assert.deepEqual(ratios([1, 2], [4, 4]), [0.25, 0.5])
})

test('a goal is a ceiling, or a floor where it says so; without a goal there is no verdict', () => {
  assert.deepEqual(rows.map(isMet), [true, true, undefined, false, true])
  assert.match(summary(rows), /^3 of 4 goals met, 1 fall short/)
})

test('tables for people and for the page', () => {
  assert.match(textTable(rows), /^cni\.add\.p50\.vs_ptp +0\.2 +0\.1 – 0\.3 +≤ 0\.25 +met$/m)
  assert.match(textTable(rows), /^sim\.ops +20400 +≥ 20000 +met$/m)
  assert.match(markdownTable(rows), /^\| `cni\.shim\.ms` \| 0\.7 ms \| {2}\| ≤ 0\.5 \| falls short \| the shim alone/m)
})

test('a picture holds every bar and the goal in the unit of the baseline', () => {
  const picture = pictureOf('cni', rows, undefined) ?? ''
  for (const wanted of ['>ADD terway<', '>ADD ptp<', '>2.5 ms<', '>12 ms<', 'class="goal"']) assert.ok(picture.includes(wanted), wanted)
  assert.equal(picture.includes('NaN'), false)
  assert.equal(pictureOf('simulation', rows, undefined), undefined)
})

test('only what is between the markers of the page changes', () => {
  assert.equal(between('a\n<!-- bench:x -->\nold\n<!-- /bench:x -->\nb', 'x', 'new'), 'a\n<!-- bench:x -->\nnew\n<!-- /bench:x -->\nb')
  assert.throws(() => between('a', 'x', 'new'), /has no <!-- bench:x -->/)
})

test('the sum is that of all tables on the page, also of benchmarks that did not run', () => {
  const other = '| `sim.leaks` | 0 |  | ≤ 0 | met | histories |'
  assert.equal(sumOf(`${other}\n${markdownTable(rows)}`), '4 of 5 goals met, 1 fall short')
})

test('the page quotes no figure that does not exist, and has a place for each benchmark', () => {
  const page = readFileSync(join(root, 'docs/benchmarks.md'), 'utf8')
  const quoted = [...page.matchAll(/`((?:cni|dp|terwayd|policyd|pool|node|repair|pod|sim|sync)\.[\w.]+)`/g)].map(m => m[1] ?? '')
  for (const figure of quoted) assert.ok(figure in figures, figure)
  for (const name of ['summary', 'cni', 'terwayd-memory', 'pool', 'repair', 'simulation', 'sync', 'datapath', 'pod'])
    assert.doesNotThrow(() => between(page, name, ''))
})
