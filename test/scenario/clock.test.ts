// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { nodeCrs } from '#kube/crd/node.ts'
import { World } from './world.ts'

const year = 365 * 86_400_000

/** What a controller whose clock was a year ahead has left in the Node CR. */
function fromTheFuture(w: World): void {
  const cr = w.cr('node-1')
  assert.ok(cr)
  const at = new Date(w.clock.wall() + year).toISOString()
  w.api.put(nodeCrs, { ...cr, status: { ...cr.status, nextSyncOpenAPITime: at, nextIdleIPReclaimTime: at } })
}

test('the clock was a year ahead once: comparison and idle reclaim go on all the same', async () => {
  await using w = await World.make()
  w.configure({
    min_pool_size: 0,
    max_pool_size: 8,
    idle_ip_reclaim_after: '10s',
    idle_ip_reclaim_interval: '20s',
    idle_ip_reclaim_batch_size: 2,
  })
  w.controlplane()
  const node = await w.join('node-1')
  const names = Array.from({ length: 8 }, (_, i) => `pod-${i}`)
  node.add(...names)
  await w.atRest()
  w.restart()
  fromTheFuture(w)
  for (const name of names) node.remove(name)
  await w.until(
    'the comparison is planned anew',
    () => Date.parse(w.cr('node-1')?.status?.nextSyncOpenAPITime ?? '') < w.clock.wall() + year / 2,
  )
  await w.until('idle addresses are reclaimed', () => w.enis().every(e => e.ipv4.length <= 2), 600_000)
})
