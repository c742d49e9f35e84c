// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { leases } from '#kube/reflect/lease.ts'
import { World } from './world.ts'

test('the API server resets its connections, and forgets its history', async () => {
  await using w = await World.make()
  const node = await w.oneNode()
  for (let i = 0; i < 4; i++) {
    w.api.faults.disconnect()
    if (i % 2 === 1) w.api.faults.compact()
    node.add(`pod-${i}-a`, `pod-${i}-b`)
    await w.clock.advance(500)
    w.api.faults.disconnect()
    await w.until('the pods are served', () => node.served)
  }
  await w.atRest()
  assert.ok(w.enis().length === 1 && (w.enis()[0]?.ipv4.length ?? 0) <= 10)
})

test('the API server is away while addresses are made, and loses answers after that', async () => {
  await using w = await World.make()
  const node = await w.oneNode()
  node.add('pod-1', 'pod-2', 'pod-3')
  await w.clock.advance(10)
  w.api.faults.unavailable(true)
  await w.clock.advance(30_000)
  w.api.faults.unavailable(false)
  w.api.faults.failNext('lost', 6, { verb: 'patch', plural: 'nodes' })
  await w.atRest()
})

function holder(w: World): string {
  return w.api.read(leases, 'terway-controlplane', 'kube-system')?.spec?.holderIdentity ?? ''
}

for (const action of ['CreateNetworkInterface', 'AssignPrivateIpAddresses', 'AttachNetworkInterface']) {
  test(`the leader loses its lease in the middle of ${action}: the next one goes on, and nothing is doubled`, async () => {
    await using w = await World.make()
    const first = w.controlplane()
    await w.until('the first leads', () => holder(w).includes(first))
    const second = w.controlplane()
    const node = await w.join('node-1', 'ecs.g7.4xlarge')
    if (action === 'AssignPrivateIpAddresses') await w.until('there is an ENI', () => w.nics('node-1').some(n => n.status === 'InUse'))
    // It takes effect at once; the answer comes when its caller leads no more.
    const slow = w.simulator.addFault({ kind: 'slow', action, ms: 40_000, count: 1 })
    // More than one call's worth of addresses: the old leader would go on with the next call.
    node.add(...Array.from({ length: 24 }, (_, i) => `pod-${i}`))
    await w.until('the call is under way', () => (w.simulator.faults().find(f => f.id === slow)?.hits ?? 0) > 0)
    w.api.faults.failNext('unavailable', 1_000, { client: first, plural: 'leases' })
    await w.until('the second leads', () => holder(w).includes(second))
    const handedOver = w.clock.now()
    await w.until('the pods are served', () => node.served)
    await w.clock.advance(60_000)
    await w.atRest()
    assert.deepEqual(
      w.wire.sent.filter(s => s.by === first && s.at > handedOver && !s.action.startsWith('Describe')),
      [],
      'the first one is fenced',
    )
    assert.equal(w.enis().length, 1)
    const tokens = w.wire.of(action).flatMap(s => s.params.get('ClientToken') ?? [])
    if (action === 'CreateNetworkInterface')
      assert.ok(tokens.length >= 2 && new Set(tokens).size === 1, `asked again with the same token: ${tokens.join()}`)
    if (action === 'AssignPrivateIpAddresses')
      assert.ok(tokens.length > new Set(tokens).size, `asked again with the same token: ${tokens.join()}`)
  })
}
