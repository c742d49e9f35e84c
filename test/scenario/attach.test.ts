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

test('an attachment is refused for good: said so, asked for less and less often, and made when it is possible', async () => {
  await using w = await World.make()
  w.simulator.addFault({ kind: 'error', action: 'AttachNetworkInterface', code: 'InvalidOperation.InvalidEcsState', status: 400 })
  w.controlplane()
  const node = await w.join('node-1')
  node.add('pod-1')
  await w.until('it is told', () => w.warnings('node-1').some(m => /AttachENIFailed: .*InvalidEcsState/.test(m)))
  assert.ok(w.conditions('node-1').some(m => /OperationErr: .*InvalidEcsState/.test(m)))
  await w.clock.advance(600_000)
  // The type has three slots: each ENI counts as stuck after two minutes.
  assert.ok(w.wire.count('AttachNetworkInterface') <= 24, `${w.wire.count('AttachNetworkInterface')} times`)
  const late = w.clock.now()
  await w.clock.advance(300_000)
  const looks = w.wire.count('DescribeNetworkInterfaces', late)
  assert.ok(looks <= 80, `${looks} looks in 5 minutes`)
  w.simulator.clearFaults()
  await w.until('the pod is served', () => node.served, 200_000)
  await w.atRest(600_000)
})

test('what the cloud has attached, detached and deleted is told on the node', async () => {
  await using w = await World.make()
  const told = () => w.api.events.filter(e => e.about.name === 'node-1' && e.type === 'Normal').map(e => `${e.reason}: ${e.message}`)
  await w.oneNode()
  const [eni] = w.enis()
  assert.ok(eni)
  assert.ok(told().includes(`AttachENISucceed: ENI ${eni.id} is attached`))
  w.configure({ min_pool_size: 0, max_pool_size: 0 })
  await w.until('it is gone', () => w.nics('node-1').length === 0)
  assert.deepEqual(
    told().filter(m => m.includes(eni.id)),
    [
      `CreateENISucceed: ENI ${eni.id} with 1 addresses`,
      `AttachENISucceed: ENI ${eni.id} is attached`,
      `DetachENISucceed: ENI ${eni.id} is detached`,
      `DeleteENISucceed: ENI ${eni.id} is deleted`,
    ],
  )
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
