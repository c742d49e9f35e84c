// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { AppError } from '#lib/errors.ts'
import type { CniReply } from '../../test/support/cni-client.ts'
import { DaemonWorld } from '../../test/support/daemon-world.ts'
import { until } from '../../test/support/until.ts'

const addresses = (n: number) => Array.from({ length: n }, (_, i) => `10.0.0.${i + 1}`)

/** Starts a repeated ADD of the sandbox that waits for its pod, which the API server does not have any more. */
async function startWaiting(world: DaemonWorld, pod: string): Promise<{ readonly reply: Promise<CniReply> }> {
  world.cluster.removePod(pod)
  await until(() => !JSON.stringify(world.daemon?.state.why('default', pod)).includes('is known'))
  const reply = world.add(pod)
  await until(() => world.daemon?.state.waiting()[0]?.step === 'pod')
  return { reply }
}

test('a sandbox on which a verb waits holds up the repair of no other', async () => {
  await using world = new DaemonWorld(addresses(2), { podWait: 600_000, repairInterval: 50 })
  await world.started()
  for (const name of ['first', 'second']) {
    world.cluster.pod(name)
    assert.equal((await world.add(name)).exit, 0)
  }
  const { reply } = await startWaiting(world, 'first')
  world.kernel.disturb(() => world.kernel.routes.clear())
  await until(() => world.kernel.routes.size === 1)
  assert.equal((await world.del('c-first')).exit, 0)
  assert.equal((await reply).exit, 1)
})

test('a difference that is found while a verb is at work on the sandbox is closed afterwards', async () => {
  await using world = new DaemonWorld(addresses(1), { podWait: 300, repairInterval: 600_000 })
  await world.started()
  world.cluster.pod('web')
  assert.equal((await world.add('web')).exit, 0)
  const { reply } = await startWaiting(world, 'web')
  world.kernel.disturb(() => world.kernel.routes.clear())
  assert.equal((await reply).body?.code, 11)
  await until(() => world.kernel.routes.size === 1)
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

test('a pod that a notification names is repaired before all are compared, unless it names very many', async () => {
  const calls: string[] = []
  await using world = new DaemonWorld(addresses(20), { repairInterval: 600_000 })
  await world.started()
  const names = Array.from({ length: 20 }, (_, i) => `pod-${i}`)
  for (const name of names) {
    world.cluster.pod(name)
    assert.equal((await world.add(name)).exit, 0)
  }
  const [...devices] = world.kernel.links.keys()
  const owner = (device: (typeof devices)[number]) => world.kernel.links.get(device)?.containerId ?? ''
  world.kernel.fault = (call, subject) => calls.push(`${call} ${subject}`.trim())
  const damaged = devices.slice(3, 5)
  world.kernel.disturb(() => world.kernel.routes.clear(), damaged)
  await until(() => world.kernel.routes.size === 20)
  assert.deepEqual(calls.slice(0, 3), [...damaged.map(d => `setup ${owner(d)}`), 'differing'])
  await until(() => calls.length === 21)
  calls.length = 0
  world.kernel.disturb(() => world.kernel.routes.clear(), devices)
  await until(() => world.kernel.routes.size === 20)
  assert.equal(calls[0], 'differing')
})
