// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { errorLines, unannounced } from './trouble.ts'

const about = { kind: 'Pod', name: 'web-1' }

test('only warnings that the scenario does not announce are trouble', () => {
  assert.deepEqual(
    unannounced([
      { type: 'Normal', reason: 'Pulled', message: 'x', involvedObject: about },
      {
        type: 'Warning',
        reason: 'FailedScheduling',
        message: '0/3 nodes: untolerated taint {node.kubernetes.io/not-ready}',
        involvedObject: about,
      },
      { type: 'Warning', reason: 'FailedScheduling', message: 'Insufficient cpu', involvedObject: about },
      { type: 'Warning', reason: 'FailedCreatePodSandBox', message: 'no address', involvedObject: about },
    ]),
    ['Pod web-1: FailedScheduling: Insufficient cpu', 'Pod web-1: FailedCreatePodSandBox: no address'],
  )
})

test('error lines are those of level error and fatal, and text that is not JSON', () => {
  const log = '{"level":"info","msg":"a"}\n{"level":"error","msg":"b"}\n\nTypeError: x is not a function\n{"level":"warn"}\n'
  assert.deepEqual(errorLines(log), ['{"level":"error","msg":"b"}', 'TypeError: x is not a function'])
})
