// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { until } from '../../test/support/until.ts'
import { runFile, runToEnd } from './run-file.ts'

const directory = mkdtempSync(join(tmpdir(), 'terway-run-file-'))
after(() => rmSync(directory, { recursive: true, force: true }))

/** Runs a test file with this text; every result as [outcome, name, line]. */
async function run(name: string, lines: readonly string[], seconds = 60) {
  const path = join(directory, name)
  writeFileSync(path, ["import { describe, test } from 'node:test'", "import assert from 'node:assert/strict'", ...lines].join('\n'))
  const results = await runFile(path, seconds)
  return { results, short: results.map(result => [result.outcome, result.name.replace(`${directory}/`, ''), result.place.split(':')[1]]) }
}

test('tests are counted one by one: neither suites nor the parents of a failed subtest', async () => {
  const { results, short } = await run('kinds.mjs', [
    "test('fine', () => {})",
    "describe('suite', () => { test('inner', () => {}) })",
    "test('parent', async t => { await t.test('child', () => assert.equal(1, 2)) })",
    "test('left out', { skip: 'a reason' }, () => {})",
    "test('planned', { todo: true }, () => {})",
  ])
  assert.deepEqual(short, [
    ['passed', 'fine', '3'],
    ['passed', 'suite > inner', '4'],
    ['failed', 'parent > child', '5'],
    ['skipped', 'left out', '6'],
    ['skipped', 'planned', '7'],
  ])
  const [failure] = results.filter(({ outcome }) => outcome === 'failed')
  assert.match(failure?.text ?? '', /1 !== 2[\s\S]*kinds\.mjs:5/)
  assert.doesNotMatch(failure?.text ?? '', /node:internal/)
})

test('what a test wants to be shown is a note after it; the counts of node:test are none', async () => {
  const { results, short } = await run('notes.mjs', [
    "test('top', t => t.diagnostic('3 of 3'))",
    "describe('suite', () => { test('inner', t => t.diagnostic('1 of 1')) })",
  ])
  assert.deepEqual(short, [
    ['passed', 'top', '3'],
    ['note', 'top', '3'],
    ['passed', 'suite > inner', '4'],
    ['note', 'suite > inner', '4'],
  ])
  assert.deepEqual(
    results.map(({ text }) => text),
    ['', '3 of 3', '', '1 of 1'],
  )
})

test('a file that crashes, also after its tests, fails with what it printed', async () => {
  const crash = await run('crash.mjs', ["throw new Error('at once')"])
  assert.deepEqual(crash.short, [['failed', 'crash.mjs', '1']])
  assert.match(crash.results[0]?.text ?? '', /at once/)
  const late = await run('late.mjs', ["test('fine', () => {})", "process.on('exit', () => process.reallyExit(7))"])
  assert.deepEqual(late.short.at(-1), ['failed', 'late.mjs', '1'])
  assert.match(late.results.at(-1)?.text ?? '', /ended with 7/)
})

test('a file without a test fails', async () => {
  const { results } = await run('empty.mjs', [])
  assert.equal(results[0]?.text, 'no test in this file')
})

test('a file that does not end is ended, and keeps its results', async () => {
  const wanted = [
    ['passed', 'fine', '3'],
    ['failed', 'open.mjs', '1'],
  ]
  // A busy machine takes its time to come to the test in it.
  for (const seconds of [2, 10, 60]) {
    const { results, short } = await run('open.mjs', ["test('fine', () => { setInterval(() => {}, 1000) })"], seconds)
    if (short.length < wanted.length && seconds < 60) continue
    assert.deepEqual(short, wanted)
    assert.match(results[1]?.text ?? '', new RegExp(`not at its end after ${seconds} s`))
    return
  }
})

test('what a command leaves behind ends with it', async () => {
  const { code, output } = await runToEnd(['/bin/sh', '-c', 'sleep 1000 & echo $!'], 60)
  assert.equal(code, 0)
  const dead = () => !existsSync(`/proc/${output}`) || /^State:\s+Z/m.test(readFileSync(`/proc/${output}/status`, 'utf8'))
  await until(dead, 'it runs no more')
})
