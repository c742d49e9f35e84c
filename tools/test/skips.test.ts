// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { count, countsLine, type Result } from './result.ts'
import { judgeSkips, parseSkips } from './skips.ts'

const skipped: Result = { outcome: 'skipped', name: 'a > b', place: 'x.ts:1', text: 'no IPv6' }

test('a skip that is listed for its layer stays one, any other is a failure that says which line to write', () => {
  const listed = parseSkips('# comment\n\nunit a > b — this machine has no IPv6\n')
  assert.deepEqual(judgeSkips('unit', [skipped], listed), [skipped])
  const [judged] = judgeSkips('kernel', [skipped], listed)
  assert.equal(judged?.outcome, 'failed')
  assert.match(judged?.text ?? '', /no IPv6.*no line "kernel a > b — reason"/)
})

test('a line without a reason is refused with its number', () => {
  assert.throws(() => parseSkips('# x\nunit a > b\n'), /test\/skips\.txt:2/)
  assert.throws(() => parseSkips('unit a > b — \n'), /test\/skips\.txt:1/)
})

test('the last line has the form that others read', () => {
  assert.equal(countsLine(count([skipped, { ...skipped, outcome: 'passed' }])), '1 passed, 0 failed, 1 skipped')
})
