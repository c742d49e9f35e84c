// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { World } from './world.ts'

test('an attachment gets stuck: the ENI is replaced, and given back when it comes unstuck', async () => {
  await using w = await World.make()
  w.configure({ min_pool_size: 0, max_pool_size: 0 })
  const stuck = w.simulator.addFault({ kind: 'stuck', action: 'AttachNetworkInterface', count: 1 })
  w.controlplane()
  const node = await w.join('node-1')
  node.add('pod-1')
  await w.until('it is Attaching', () => w.enis().some(e => e.status === 'Attaching'))
  const [first] = w.enis()
  assert.ok(first)
  await w.until('the pod is served by another ENI', () => node.served, 300_000)
  assert.ok(w.warnings('node-1').some(m => m.includes(first.id) && /Attaching since/.test(m)))
  assert.equal(w.enis().length, 2)

  w.simulator.clearFaults(stuck)
  await w.atRest()
  await w.until('one of the two is given back', () => w.enis().length === 1)
  await w.atRest()
})

test('an attachment fails: it is tried again', async () => {
  await using w = await World.make()
  w.simulator.addFault({ kind: 'attach-fails', count: 2 })
  w.controlplane()
  const node = await w.join('node-1')
  node.add('pod-1')
  await w.atRest()
  assert.equal(w.enis().length, 1)
  assert.equal(w.wire.count('CreateNetworkInterface'), 1)
})

for (const action of ['DetachNetworkInterface', 'DeleteNetworkInterface']) {
  test(`${action} gets stuck once: asking again gets it going`, async () => {
    await using w = await World.make()
    await w.oneNode()
    w.simulator.addFault({ kind: 'stuck', action, count: 1 })
    w.configure({ min_pool_size: 0, max_pool_size: 0 })
    await w.until('it is gone', () => w.enis().length === 0, 300_000)
    await w.atRest()
    assert.ok(w.wire.count(action) >= 2)
  })
}

test('a detachment stays stuck: it is asked for now and then, and nothing else happens to the ENI', async () => {
  await using w = await World.make()
  const node = await w.oneNode('ecs.lab.tiny')
  const stuck = w.simulator.addFault({ kind: 'stuck', action: 'DetachNetworkInterface' })
  w.configure({ min_pool_size: 0, max_pool_size: 0 })
  await w.until('it is Detaching', () => w.enis().some(e => e.status === 'Detaching'))
  const asked = w.wire.count('DetachNetworkInterface')
  await w.clock.advance(120_000)
  const again = w.wire.count('DetachNetworkInterface') - asked
  assert.ok(again >= 4 && again <= 12, `${again} times`)
  assert.ok(w.enis().every(e => e.status === 'Detaching'))
  w.simulator.clearFaults(stuck)
  await w.until('it is gone', () => w.enis().length === 0)
  await w.atRest()
  node.add('pod-1')
  await w.atRest()
})
