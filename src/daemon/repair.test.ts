// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { AppError } from '#lib/errors.ts'
import { DaemonWorld } from '../../test/support/daemon-world.ts'
import { until } from '../../test/support/until.ts'

const addresses = (n: number) => Array.from({ length: n }, (_, i) => `10.0.0.${i + 1}`)

test('a pod whose next ADD waits for an address holds up the repair of no other', async () => {
  await using world = new DaemonWorld(addresses(2), { podWait: 60_000, repairInterval: 50 })
  const daemon = await world.started()
  for (const name of ['first', 'second']) {
    world.cluster.pod(name)
    assert.equal((await world.add(name)).exit, 0)
  }
  const waiting = world.add('first', 'c-first', 'uid-next')
  await until(() => daemon.state.waiting()[0]?.step === 'pod')
  world.kernel.disturb(() => world.kernel.routes.clear())
  await until(() => world.kernel.routes.size === 1, 5_000)
  assert.equal((await world.del('c-first')).exit, 0)
  assert.equal((await waiting).body?.code, 11)
})

test('a difference that is found while a verb is at work on the pod is closed afterwards', async () => {
  await using world = new DaemonWorld(addresses(1), { podWait: 300, repairInterval: 600_000 })
  const daemon = await world.started()
  world.cluster.pod('web')
  assert.equal((await world.add('web')).exit, 0)
  const waiting = world.add('web', 'c-web', 'uid-next')
  await until(() => daemon.state.waiting()[0]?.step === 'pod')
  world.kernel.disturb(() => world.kernel.routes.clear())
  assert.equal((await waiting).body?.code, 11)
  await until(() => world.kernel.routes.size === 1, 5_000)
})

test('a pod that cannot be repaired is tried in every round, and keeps no other from it', async () => {
  const results: string[] = []
  await using world = new DaemonWorld(addresses(2), { repairInterval: 20 })
  world.observer = { ...world.observer, repair: result => results.push(result) }
  await world.started()
  for (const name of ['bad', 'good']) {
    world.cluster.pod(name)
    assert.equal((await world.add(name)).exit, 0)
  }
  world.kernel.fault = (call, subject) => {
    if (call === 'setup' && subject === 'c-bad') throw new AppError('kernel-refused', 'no')
  }
  world.kernel.disturb(() => world.kernel.routes.clear())
  await until(() => world.kernel.routes.size === 1 && results.filter(r => r === 'failed').length > 2)
  world.kernel.fault = () => {}
  await until(() => world.kernel.routes.size === 2 && results.at(-1) === 'clean')
})
