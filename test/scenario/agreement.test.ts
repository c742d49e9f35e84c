// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { nodeCrs } from '#kube/crd/node.ts'
import { nodeRuntimes } from '#kube/crd/node-runtime.ts'
import { World } from './world.ts'

/** As its daemon would, if it could. */
function resize(w: World, name: string, size: number): void {
  const cr = w.cr(name)
  assert.ok(cr)
  w.api.put(nodeCrs, { ...cr, spec: { ...cr.spec, pool: { ...cr.spec.pool, minPoolSize: size, maxPoolSize: size } } })
}

test('NodeRuntime is deleted while its daemon cannot report: what it has leased stays', async () => {
  await using w = await World.make()
  w.configure({ min_pool_size: 4, max_pool_size: 4 })
  const node = await w.oneNode()
  await w.atRest()
  // Leased from memory, before the daemon could report it.
  node.add('pod-1', 'pod-2')
  await w.clock.advance(30)
  w.api.faults.unavailable(true, 'daemon-node-1')
  await w.clock.advance(5_000)
  w.api.remove(nodeRuntimes, 'node-1')
  node.forget('pod-1')
  node.forget('pod-2')
  resize(w, 'node-1', 0)
  await w.clock.advance(120_000)
  const leased = [...node.disk.leases.values()].map(l => String(l.attachment.v4?.address))
  assert.equal(leased.length, 2)
  for (const ip of leased)
    assert.ok(
      w.enis().some(e => e.status === 'InUse' && e.ipv4.includes(ip as never)),
      `${ip} has left the node`,
    )
  assert.equal(w.wire.count('UnassignPrivateIpAddresses') + w.wire.count('DetachNetworkInterface'), 0)
  w.api.faults.unavailable(false, 'daemon-node-1')
  const reported = () => Object.values(w.api.read(nodeRuntimes, 'node-1')?.status?.pods ?? {}).flatMap(p => p.ipv4 ?? [])
  await w.until('the daemon reports them', () => leased.every(ip => reported().includes(ip)))
})

test('an ENI whose removal waits for its daemon is not looked at meanwhile', async () => {
  await using w = await World.make()
  w.configure({ min_pool_size: 3, max_pool_size: 3 })
  const node = await w.oneNode()
  await w.atRest()
  await node.stop()
  resize(w, 'node-1', 0)
  await w.until('it is marked', () => w.nics('node-1').some(n => n.status === 'Deleting'))
  const byId = () => w.wire.of('DescribeNetworkInterfaces').filter(s => s.params.has('NetworkInterfaceId.1')).length
  const before = byId()
  await w.clock.advance(600_000)
  assert.equal(byId(), before)
  w.configure({ min_pool_size: 0, max_pool_size: 0 })
  await node.start()
  await w.until('the ENI is gone', () => w.enis().length === 0)
  await w.atRest()
})
