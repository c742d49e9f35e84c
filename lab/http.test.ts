// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { answers, expectClients, hostPort } from './http.ts'

test('an IPv6 target is written in brackets, and its answer is found again', () => {
  assert.deepEqual([hostPort('10.0.0.1', 80), hostPort('fd00::1', 80), hostPort('fd00::1')], ['10.0.0.1:80', '[fd00::1]:80', '[fd00::1]'])
  assert.deepEqual(answers('[fd00::1]:80|client=fd00::2 pod=web-1 \n'), [{ target: '[fd00::1]:80', client: 'fd00::2', server: 'web-1' }])
})

test('answers of the application, of an internet host, and silence', () => {
  assert.deepEqual(answers('10.0.0.1:8080|client=10.0.0.2 pod=web-1 \n203.0.113.254|203.0.113.1 \n10.0.0.3:9090|\n'), [
    { target: '10.0.0.1:8080', client: '10.0.0.2', server: 'web-1' },
    { target: '203.0.113.254', client: '203.0.113.1' },
    { target: '10.0.0.3:9090' },
  ])
})

test('an answer that names another client, or none, fails with what was expected', () => {
  const all = answers('a|client=10.0.0.2 pod=x\nb|')
  assert.throws(() => expectClients(all, () => '10.0.0.2'), /1 of 2 wrong: b saw nobody: no answer, expected 10.0.0.2/)
  assert.throws(() => expectClients(all.slice(0, 1), () => '10.0.0.9'), /a saw 10.0.0.2, expected 10.0.0.9/)
  assert.equal(
    expectClients(all.slice(0, 1), () => '10.0.0.2'),
    '1 of 1',
  )
})
