// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Report, table } from './report.ts'

test('a failed check is counted and named again in the summary; the step goes on', async () => {
  const lines: string[] = []
  const report = new Report(line => lines.push(line))
  await report.step('connect', async () => {
    assert.equal(await report.check('pod to pod', () => '40 of 40'), true)
    assert.equal(await report.check('pod to internet', () => Promise.reject(new Error('timed out'))), false)
    assert.equal(await report.check('pod to node', () => undefined), true)
  })
  report.summary()
  assert.equal(report.failures, 1)
  assert.ok(lines.includes('   ✔ pod to pod — 40 of 40'))
  assert.ok(lines.includes('   ✘ pod to internet — timed out'))
  assert.match(lines.join('\n'), /1\. connect +\d+\.\d s +2\/3 +FAILED/)
  assert.match(lines.at(-1) ?? '', /1 checks failed/)
})

test('a step that throws is a failure, and the error goes on', async () => {
  const report = new Report(() => {})
  await assert.rejects(
    report.step('boot', () => Promise.reject(new Error('no kernel'))),
    /no kernel/,
  )
  assert.equal(report.failures, 1)
})

test('a table has columns as wide as their widest cell', () => {
  assert.deepEqual(table(['node', 'ip'], [['n', '192.0.2.1']]), ['node  ip', '───────────────', 'n     192.0.2.1'])
})
