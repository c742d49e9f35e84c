// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type NodeCr, nodeCrs } from '#kube/crd/node.ts'
import { nodeRuntimes } from '#kube/crd/node-runtime.ts'
import { nodes } from '#kube/reflect/node.ts'
import { World } from './world.ts'

async function twoNodes(w: World) {
  w.controlplane()
  const [sick, healthy] = [await w.join('node-1'), await w.join('node-2')]
  sick.add('pod-1')
  await w.atRest()
  const good = w.cr('node-1')
  assert.ok(good)
  return { sick, healthy, good }
}

/** As somebody writes it whom no schema stops. */
function write(w: World, cr: NodeCr, change: object): void {
  assert.throws(() => w.api.put(nodeCrs, { ...cr, ...change }), /Node/)
}

test('a Node CR that cannot be read: said so, and the other nodes are served', async () => {
  await using w = await World.make()
  const { sick, healthy, good } = await twoNodes(w)
  write(w, good, { spec: { ...good.spec, eni: { ...good.spec.eni, vSwitchOptions: 'vsw-a' } } })
  await w.until('it is told', () => w.warnings('node-1').some(m => /Node node-1.*spec\.eni\.vSwitchOptions/.test(m)))
  sick.add('pod-2', 'pod-3', 'pod-4', 'pod-5')
  healthy.add(...Array.from({ length: 6 }, (_, i) => `other-${i}`))
  await w.until('the other node is served', () => healthy.served)
  const before = w.wire.sent.length
  await w.clock.advance(120_000)
  assert.ok(w.wire.sent.length - before < 60, `${w.wire.sent.length - before} calls in 2 minutes`)

  // A controller that starts over the broken object must serve the others too.
  w.restart()
  healthy.add('other-6', 'other-7', 'other-8', 'other-9')
  await w.until('the other node is served', () => healthy.served)
  w.api.put(nodeCrs, { ...good, spec: good.spec })
  await w.atRest()
})

test('a Kubernetes node that cannot be read is no node that has left', async () => {
  await using w = await World.make()
  const { sick, healthy } = await twoNodes(w)
  const object = w.api.read(nodes, 'node-1')
  assert.ok(object)
  const before = w.enis().map(e => e.id)
  for (const restart of [false, true]) {
    assert.throws(() => w.api.put(nodes, { ...object, spec: { providerID: 42 } as never }), /Node node-1: spec\.providerID/)
    if (restart) w.restart()
    else {
      w.api.faults.disconnect()
      w.api.faults.compact()
    }
    await w.until('it is told', () => w.warnings('node-1').some(m => /Node node-1: spec\.providerID/.test(m)))
    healthy.add(`other-${restart}-1`, `other-${restart}-2`, `other-${restart}-3`)
    await w.until('the other node is served', () => healthy.served)
    await w.clock.advance(180_000)
    assert.deepEqual(
      before.filter(id => !w.enis().some(e => e.id === id)),
      [],
      'its ENIs stay',
    )
    w.api.put(nodes, object)
    sick.add(`pod-${restart}-1`, `pod-${restart}-2`)
    await w.atRest()
  }
})

test('an address in a Node CR that is none: removed, and said so', async () => {
  await using w = await World.make()
  const { healthy, good } = await twoNodes(w)
  const [nic] = Object.values(good.status?.networkInterfaces ?? {})
  assert.ok(nic)
  const ipv4 = { ...nic.ipv4, banana: { ip: 'banana', primary: false, status: 'Valid' as const } }
  w.api.put(nodeCrs, { ...good, status: { ...good.status, networkInterfaces: { [nic.id]: { ...nic, ipv4 } } } })
  healthy.add(...Array.from({ length: 6 }, (_, i) => `other-${i}`))
  await w.until('the other node is served', () => healthy.served)
  await w.atRest()
  assert.ok(!Object.keys(w.nics('node-1')[0]?.ipv4 ?? {}).includes('banana'))
  assert.ok(
    w.warnings('node-1').some(m => m.includes(`Node CR node-1: status.networkInterfaces.${nic.id} had "banana", which is no IP address`)),
  )
})

test('NodeRuntime with answers to nobody, unknown pods, and nonsense', async () => {
  await using w = await World.make()
  const { sick, healthy } = await twoNodes(w)
  const runtime = w.api.read(nodeRuntimes, 'node-1')
  assert.ok(runtime)
  const at = new Date(w.clock.wall()).toISOString()
  const releases = {
    '10.0.0.2': { nonce: 'of-nobody', answer: 'acked' as const, lastUpdateTime: at },
    banana: { nonce: 'x', answer: 'refused' as const, lastUpdateTime: at },
  }
  const ghost = { podID: 'default/ghost', status: { initial: { lastUpdateTime: '2020-01-01T00:00:00Z' } }, ipv4: '10.99.0.1' }
  w.api.put(nodeRuntimes, { ...runtime, status: { pods: { ...runtime.status?.pods, 'uid-ghost': ghost }, releases } })
  await w.clock.advance(5_000)
  assert.equal(w.wire.count('UnassignPrivateIpAddresses'), 0, 'an answer without a mark gives nothing back')
  sick.add('pod-2', 'pod-3', 'pod-4', 'pod-5')
  healthy.add('other-1')
  await w.atRest()

  assert.throws(() => w.api.put(nodeRuntimes, { ...runtime, status: { pods: 'none' } as never }), /NodeRuntime/)
  await w.until('it is told', () => w.warnings('node-1').some(m => /NodeRuntime node-1.*status\.pods/.test(m)))
  healthy.add('other-2', 'other-3', 'other-4', 'other-5')
  await w.until('the other node is served', () => healthy.served)
  w.api.put(nodeRuntimes, runtime)
  await w.atRest()
})
