// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { World } from './world.ts'

test('a throttled account: few calls while it lasts, and all is well after', async () => {
  await using w = await World.make()
  const nodes = await Promise.all(['node-1', 'node-2', 'node-3'].map(name => w.join(name)))
  w.controlplane()
  await w.until('every node has an ENI', () => ['node-1', 'node-2', 'node-3'].every(n => w.nics(n).some(nic => nic.status === 'InUse')))
  const storm = w.simulator.addFault({ kind: 'throttle' })
  const [since, before] = [w.clock.now(), w.wire.sent.length]
  for (const node of nodes) node.add(...Array.from({ length: 12 }, (_, i) => `${node.name}-pod-${i}`))
  await w.clock.advance(300_000)
  const during = w.wire.sent.length - before
  assert.ok(during < 600, `${during} calls in 5 minutes that were all refused`)
  const perSecond = Map.groupBy(
    w.wire.sent.filter(s => s.at > since),
    s => Math.floor(s.at / 1000),
  )
  assert.ok(Math.max(...[...perSecond.values()].map(s => s.length)) < 60, 'no burst')
  assert.ok(w.warnings('node-1').some(m => m.includes('Throttling.User')))

  w.simulator.clearFaults(storm)
  await w.atRest(400_000)
  assert.ok(w.wire.sent.length - before < during + 200, 'no flood after it')
})

test('the budget of an API is short: pods are served all the same, and giving back does not flood it', async () => {
  await using w = await World.make({
    throttle: { enabled: true, perMinute: { AssignPrivateIpAddresses: 6, UnassignPrivateIpAddresses: 6 } },
  })
  const node = await w.oneNode()
  for (let round = 0; round < 4; round++) {
    const names = Array.from({ length: 8 }, (_, i) => `pod-${round}-${i}`)
    node.add(...names)
    await w.until('the pods are served', () => node.served, 300_000)
    for (const name of names) node.remove(name)
    await w.clock.advance(40_000)
  }
  await w.atRest(600_000)
  assert.ok(w.wire.count('UnassignPrivateIpAddresses') < 60)
})

test('comparing many nodes with the cloud uses up the budget: a waiting pod goes first', async () => {
  await using w = await World.make()
  w.controlplane({ syncPeriod: 10_000 }, { DescribeNetworkInterfaces: 30 })
  const others = await Promise.all(Array.from({ length: 12 }, (_, i) => w.join(`other-${i}`)))
  await w.until('every node has an ENI', () => others.every(n => w.nics(n.name).some(nic => nic.status === 'InUse')), 600_000)
  const settled = w.clock.now()
  await w.clock.advance(300_000)
  const used = w.wire.count('DescribeNetworkInterfaces', settled)
  assert.ok(used >= 0.95 * 5 * 30, `only ${used} calls of the budget's ${5 * 30} were used`)
  const node = await w.join('node-1')
  const start = w.clock.now()
  node.add('pod-1')
  await w.until('the pod is served', () => node.served)
  const took = w.clock.now() - start
  assert.ok(took < 30_000, `${took / 1000} s`)
  const waited = others[0]
  waited?.add('pod-2', 'pod-3', 'pod-4')
  const again = w.clock.now()
  await w.until('the pods of a compared node are served', () => waited?.served === true)
  assert.ok(w.clock.now() - again < 30_000, `${(w.clock.now() - again) / 1000} s`)
})
