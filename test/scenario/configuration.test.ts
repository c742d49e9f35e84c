// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { nodeCrs } from '#kube/crd/node.ts'
import { World, zone } from './world.ts'

test('no vSwitch for the zone of the node', async () => {
  await using w = await World.make()
  w.configure({ vswitches: { 'cn-lab-b': ['vsw-elsewhere'] } })
  w.controlplane()
  const node = await w.join('node-1')
  node.add('pod-1')
  await w.until('the daemon tells it', () =>
    w.warnings('node-1').some(m => m.startsWith('ConfigError: eni_conf: vswitches has no entry for zone cn-lab-a')),
  )
  await w.clock.advance(60_000)
  assert.deepEqual(w.enis(), [])

  w.configure({})
  await w.atRest()
})

test('an empty list of vSwitches in the Node CR', async () => {
  await using w = await World.make()
  const node = await w.oneNode()
  // The daemon keeps the spec; only somebody else's daemon would write this.
  await node.stop()
  const cr = w.cr('node-1')
  assert.ok(cr?.spec.eni)
  w.api.put(nodeCrs, { ...cr, spec: { ...cr.spec, eni: { ...cr.spec.eni, vSwitchOptions: [] } } })
  // More than the ENI that is there can take.
  node.add(...Array.from({ length: 12 }, (_, i) => `pod-${i}`))
  await w.until('the controller tells it', () => w.warnings('node-1').some(m => /vSwitchOptions of Node CR node-1 is empty/.test(m)))
  await w.until('the ENI says it', () => w.conditions('node-1').some(m => /vSwitchOptions of Node CR node-1 is empty/.test(m)))

  await node.start()
  await w.atRest()
})

test('vSwitches that do not exist, or are in another zone', async () => {
  await using w = await World.make()
  w.configure({ vswitches: { [zone]: ['vsw-typo', 'vsw-elsewhere'] } })
  w.controlplane()
  const node = await w.join('node-1')
  node.add('pod-1')
  const told = (pattern: RegExp) => w.until(String(pattern), () => w.warnings('node-1').some(m => pattern.test(m)))
  await told(/vSwitch vsw-typo does not exist/)
  await told(/vSwitch vsw-elsewhere is in zone cn-lab-b, the node in cn-lab-a/)
  await told(/vswitches in eni_conf/)
  const before = w.wire.sent.length
  await w.clock.advance(300_000)
  assert.ok(w.wire.sent.length - before < 80, `${w.wire.sent.length - before} calls in 5 minutes of waiting`)
  assert.deepEqual(w.enis(), [])

  w.configure({ vswitches: { [zone]: ['vsw-typo', 'vsw-b'] } })
  await w.atRest()
  assert.deepEqual([...new Set(w.enis().map(e => e.vSwitchId))], ['vsw-b'])
})

test('a security group that does not exist', async () => {
  await using w = await World.make()
  w.configure({ security_group: 'sg-typo' })
  w.controlplane()
  const node = await w.join('node-1')
  node.add('pod-1')
  await w.until('it is told', () => w.warnings('node-1').some(m => /CreateENIFailed: .*sg-typo.*security_groups? in eni_conf/.test(m)))
  await w.clock.advance(600_000)
  const creates = w.wire.count('CreateNetworkInterface')
  assert.ok(creates < 20, `${creates} attempts in 10 minutes`)
  assert.deepEqual(w.enis(), [])

  const since = w.clock.now()
  w.configure({})
  await w.atRest()
  assert.ok(w.clock.now() - since < 30_000, 'a changed configuration does not wait for the end of the pause')
})

test('vswitches become others: the ENIs that are there still grow, further ones are created in the new vSwitch', async () => {
  await using w = await World.make()
  w.configure({ vswitches: { [zone]: ['vsw-a'] } })
  const node = await w.oneNode()
  node.add('pod-1')
  await w.atRest()
  w.configure({ vswitches: { [zone]: ['vsw-b'] } })
  await w.until('the Node CR has it', () => w.cr('node-1')?.spec.eni?.vSwitchOptions?.join() === 'vsw-b')
  node.add(...Array.from({ length: 7 }, (_, i) => `more-${i}`))
  await w.atRest()
  assert.deepEqual(
    w.enis().map(e => e.vSwitchId),
    ['vsw-a'],
  )
  node.add(...Array.from({ length: 7 }, (_, i) => `beyond-${i}`))
  await w.atRest()
  assert.deepEqual(
    w
      .enis()
      .map(e => e.vSwitchId)
      .sort(),
    ['vsw-a', 'vsw-b'],
  )
})
