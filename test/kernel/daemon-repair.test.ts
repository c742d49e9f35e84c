// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ip, NetnsNode } from '../support/netns-node.ts'
import { until } from '../support/until.ts'

const skip = process.getuid?.() !== 0 && 'needs root'
const addresses = ['10.0.0.1', '10.0.0.2']
/** So far apart that in a test only a notification leads to a comparison. */
const rarely = { repairInterval: 600_000 }

test('what a pod lost inside is put back within seconds', { skip }, async () => {
  const pair = ['10.0.0.1', 'fd00:1::1']
  await using node = new NetnsNode(pair, {}, 'dual')
  await node.started()
  node.cluster.pod('web')
  assert.equal((await node.add('web')).exit, 0)
  const pod = node.sandbox('c-web').replace('/run/netns/', '')
  const inside = () =>
    [['route'], ['-6', 'route', 'show', 'default'], ['neigh', 'show', 'nud', 'permanent']]
      .flatMap(a => ip('-n', pod, ...a).sort())
      .join('\n')
  const whole = inside()
  for (const [family, gateway] of [
    ['-4', '169.254.1.1'],
    ['-6', 'fe80::1'],
  ] as const) {
    ip('-n', pod, family, 'route', 'del', 'default')
    ip('-n', pod, 'neigh', 'del', gateway, 'dev', 'eth0')
  }
  // It may be repaired before anybody could look at the damage.
  await until(() => node.model.events.some(e => e.action === 'Repair' && e.about.name === 'web') && inside() === whole)
  for (const address of pair) assert.ok(node.reaches(address), address)
})

test('after a restart, damage to pods of before is noticed at once', { skip }, async () => {
  await using node = new NetnsNode(addresses, rarely)
  await node.started()
  node.cluster.pod('web')
  assert.equal((await node.add('web')).exit, 0)
  await node.kill()
  await node.started()
  const before = node.state()
  const [device] = /cali[0-9a-f]{11}/.exec(before.join('\n')) ?? assert.fail(before.join('\n'))
  node.ip('link', 'set', device, 'down')
  // It is often repaired before anybody could look at the damage.
  await until(() => node.model.events.some(e => e.action === 'Repair'))
  assert.deepEqual(node.state(), before)
  assert.ok(node.reaches('10.0.0.1'))
})
