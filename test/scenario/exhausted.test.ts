// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { World } from './world.ts'

test('an exhausted vSwitch: the next one of the zone serves', async () => {
  await using w = await World.make()
  const node = await w.oneNode()
  const [first] = w.enis()
  assert.ok(first)
  const [exhausted, spare] = first.vSwitchId === 'vsw-a' ? ['vsw-a', 'vsw-b'] : ['vsw-b', 'vsw-a']
  w.simulator.exhaustVSwitch(exhausted)
  node.add(...Array.from({ length: 8 }, (_, i) => `pod-${i}`))
  await w.atRest()
  assert.ok(w.enis().some(e => e.vSwitchId === spare))
})

test('every vSwitch is exhausted: said so, and healed when addresses come back', async () => {
  await using w = await World.make()
  const node = await w.oneNode()
  for (const id of ['vsw-a', 'vsw-b']) w.simulator.exhaustVSwitch(id)
  node.add(...Array.from({ length: 8 }, (_, i) => `pod-${i}`))
  const told = /no free address in vSwitches vsw-[ab], vsw-[ab]/
  await w.until('the condition says it', () => w.conditions('node-1').some(m => m.startsWith('InsufficientIP') && told.test(m)))
  await w.until('the kubelet reads it', () => [...node.pods.values()].some(p => told.test(p.lastError)))
  const before = w.wire.sent.length
  await w.clock.advance(600_000)
  assert.ok(w.wire.sent.length - before < 200, `${w.wire.sent.length - before} calls in 10 minutes of waiting`)

  w.simulator.exhaustVSwitch('vsw-b', false)
  await w.atRest()
  assert.deepEqual(w.conditions('node-1'), [])
})
