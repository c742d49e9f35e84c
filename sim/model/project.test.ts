// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { smallSeed, world } from '../testing.ts'
import { fabricView } from './project.ts'

test('an ENI has the MTU of its VPC, but for an instance whose type has jumbo frames', async () => {
  const [machine] = smallSeed().instances ?? []
  if (machine === undefined) return assert.fail()
  const { simulator, createEni, attach } = world({ instances: [{ ...machine, type: 'ecs.lab.jumbo' }] })
  const mtus = () => fabricView(simulator.store.state).enis.map(e => e.mtu)
  const eni = await createEni()
  assert.deepEqual(mtus(), [8500, 1500])
  await attach(eni)
  assert.deepEqual(mtus(), [8500, 8500])
})
