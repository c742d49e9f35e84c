// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { World } from './world.ts'

const addresses = (w: World) => w.enis().reduce((n, e) => n + e.ipv4.length, 0)

test('warm-up happens once, and idle reclaim gives back slowly what it brought', async () => {
  await using w = await World.make()
  w.configure({
    min_pool_size: 1,
    max_pool_size: 20,
    ip_warm_up_size: 12,
    idle_ip_reclaim_after: '10s',
    idle_ip_reclaim_interval: '60s',
    idle_ip_reclaim_batch_size: 3,
  })
  w.controlplane()
  await w.join('node-1')
  await w.until('it is warm', () => addresses(w) >= 12 && w.cr('node-1')?.status?.warmUpCompleted === true)
  const status = w.cr('node-1')?.status
  assert.deepEqual([status?.warmUpTarget, status?.warmUpAllocatedCount], [12, 12])
  let least = addresses(w)
  await w.until(
    'what is idle is given back, down to the minimum',
    () => {
      assert.ok(addresses(w) >= least - 3, 'a batch at a time')
      least = Math.min(least, addresses(w))
      return addresses(w) <= 2
    },
    1_800_000,
  )
  await w.atRest()
  assert.ok(addresses(w) <= 2, 'no second warm-up')
})

test('several nodes are served at once', async () => {
  await using w = await World.make()
  w.controlplane()
  const names = ['node-1', 'node-2', 'node-3', 'node-4']
  for (const name of names) (await w.join(name)).add(...Array.from({ length: 12 }, (_, i) => `${name}-${i}`))
  await w.atRest()
  const created = w.wire.of('CreateNetworkInterface').map(s => s.at)
  const first = Math.min(...created)
  // One after the other they would take an attachment each.
  assert.ok(created.filter(at => at - first < 2_000).length >= names.length, created.join())
})

test('a new ENI is in use little later than the cloud has it ready, with few looks at it', async () => {
  await using w = await World.make()
  w.controlplane()
  const since = () => w.clock.now() - (w.wire.of('CreateNetworkInterface').at(-1)?.at ?? 0)
  for (const name of ['node-1', 'node-2', 'node-3']) {
    const looked = w.wire.count('DescribeNetworkInterfaces')
    await w.join(name)
    await w.until('its ENI is in use', () => w.nics(name).some(n => n.status === 'InUse'))
    // 300 ms to create, 2 s to attach, and 300 ms until it is shown.
    assert.ok(since() <= (name === 'node-1' ? 1.3 : 1.2) * 2_600, `${since()} ms`)
    const looks = w.wire.count('DescribeNetworkInterfaces') - looked
    assert.ok(looks <= (name === 'node-1' ? 20 : 10), `${looks} looks`)
  }
})
