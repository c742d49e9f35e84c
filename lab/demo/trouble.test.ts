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
      {
        type: 'Warning',
        reason: 'FailedToCreateEndpoint',
        message: 'Failed to create endpoint for service default/web: endpoints "web" already exists',
        involvedObject: about,
      },
      {
        type: 'Warning',
        reason: 'ClusterIPNotAllocated',
        message: 'Cluster IP [IPv6]: fd00:172:21::1 is not allocated; repairing',
        involvedObject: about,
      },
      { type: 'Warning', reason: 'FailedCreatePodSandBox', message: 'no address', involvedObject: about },
    ]),
    ['Pod web-1: FailedScheduling: Insufficient cpu', 'Pod web-1: FailedCreatePodSandBox: no address'],
  )
})

test('a pod of the application or of Terway that does not listen yet is announced; one that is probed in vain otherwise is not', () => {
  const unhealthy = (message: string) => unannounced([{ type: 'Warning', reason: 'Unhealthy', message, involvedObject: about }]).length
  for (const to of ['10.10.1.4:8080', '[fd00:10:10:1::4]:8080']) {
    const get = `probe failed: Get "http://${to}/":`
    assert.equal(unhealthy(`Startup ${get} dial tcp ${to}: connect: connection refused`), 0)
    assert.equal(unhealthy(`Liveness ${get} dial tcp ${to}: connect: connection refused`), 1)
    assert.equal(unhealthy(`Startup ${get} context deadline exceeded`), 1)
  }
  for (const [port, expected] of [
    [9129, 0],
    [9130, 0],
    [9131, 1],
  ])
    assert.equal(
      unhealthy(`Startup probe failed: Get "http://127.0.0.1:${port}/healthz": dial tcp 127.0.0.1:${port}: connect: connection refused`),
      expected,
    )
})

test('a token that the API server refuses because it does not know the node of a pod yet is announced', () => {
  const mount = (why: string) =>
    unannounced([
      { type: 'Warning', reason: 'FailedMount', message: `MountVolume.SetUp failed for volume "x" : ${why}`, involvedObject: about },
    ]).length
  const refused =
    'failed to fetch token: serviceaccounts "default" is forbidden: node requested token bound to a pod scheduled on a different'
  assert.deepEqual([mount(`${refused} node`), mount('no such disk')], [0, 1])
})

test('a container that the runtime ends late is announced; a sandbox that it cannot end is not', () => {
  const late = (what: string) =>
    `failed to "${what}" for "app" with ${what}Error: "rpc error: code = DeadlineExceeded desc = failed to get task: context deadline exceeded"`
  const killing = (...what: string[]) =>
    unannounced([
      { type: 'Warning', reason: 'FailedKillPod', message: `error killing pod: [${what.map(late).join(', ')}]`, involvedObject: about },
    ]).length
  assert.equal(killing('KillContainer', 'KillContainer'), 0)
  assert.equal(killing('KillContainer', 'KillPodSandbox'), 1)
})

test('error lines are those of level error and fatal, and text that is not JSON', () => {
  const log = '{"level":"info","msg":"a"}\n{"level":"error","msg":"b"}\n\nTypeError: x is not a function\n{"level":"warn"}\n'
  assert.deepEqual(errorLines(log), ['{"level":"error","msg":"b"}', 'TypeError: x is not a function'])
})
