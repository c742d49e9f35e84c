// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { nodeCrs } from '#kube/crd/node.ts'
import { nodeRuntimes } from '#kube/crd/node-runtime.ts'
import { configMaps } from '#kube/reflect/config-map.ts'
import { nodes } from '#kube/reflect/node.ts'
import { DaemonWorld, ipOf } from '../../test/support/daemon-world.ts'
import { eniConf, nodeName } from '../../test/support/node-world.ts'
import { until } from '../../test/support/until.ts'

const configure = (world: DaemonWorld, name: string, text: string) =>
  world.model.put(configMaps, {
    apiVersion: 'v1',
    kind: 'ConfigMap',
    metadata: { name, namespace: 'kube-system' },
    data: { eni_conf: text },
  })
const pool = (world: DaemonWorld) => world.model.read(nodeCrs, nodeName)?.spec.pool

test('the configuration reaches the Node CR, follows its ConfigMap, and a broken one changes nothing', async () => {
  await using world = new DaemonWorld(['10.0.0.1'])
  await world.started()
  await until(() => pool(world)?.maxPoolSize === 5)
  configure(world, 'eni-config', JSON.stringify({ ...eniConf, max_pool_size: 8 }))
  await until(() => pool(world)?.maxPoolSize === 8)

  configure(world, 'eni-config', JSON.stringify({ ...eniConf, max_pool_size: 'nine', ip_stack: 'dual' }))
  const complaints = () => world.model.events.filter(e => e.about.kind === 'Node')
  await until(() => complaints().length === 1)
  assert.equal(complaints()[0]?.reason, 'ConfigError')
  assert.match(complaints()[0]?.message ?? '', /ip_stack is "dual".*max_pool_size is "nine"/)
  configure(world, 'eni-config', '{')
  await until(() => complaints().length === 2)
  assert.equal(complaints()[1]?.reason, 'ParseFailed')
  assert.equal(pool(world)?.maxPoolSize, 8)
  world.cluster.pod('web')
  assert.equal((await world.add('web')).exit, 0)
})

test("a node's own ConfigMap is merged over the base, and null takes a setting away", async () => {
  await using world = new DaemonWorld(['10.0.0.1'])
  await world.started()
  configure(world, 'special', JSON.stringify({ max_pool_size: 20, eni_tags: { team: 'x' } }))
  const node = (labels: Record<string, string>) =>
    world.model.put(nodes, { apiVersion: 'v1', kind: 'Node', metadata: { name: nodeName, labels }, spec: {} })
  node({ 'terway-config': 'special' })
  await until(() => pool(world)?.maxPoolSize === 20)
  assert.deepEqual(world.model.read(nodeCrs, nodeName)?.spec.eni?.tag, { team: 'x', creator: 'terway' })
  configure(world, 'special', JSON.stringify({ max_pool_size: null }))
  await until(() => pool(world)?.maxPoolSize === 0)
  node({})
  await until(() => pool(world)?.maxPoolSize === 5)
})

test('without a usable configuration the node is not ready, and says why', async () => {
  await using world = new DaemonWorld(['10.0.0.1'])
  configure(world, 'eni-config', JSON.stringify({ ...eniConf, ipam_type: '' }))
  const daemon = await world.start()
  await until(() => !daemon.state.readiness().ready && JSON.stringify(daemon.state.readiness()).includes('ipam_type'))
  configure(world, 'eni-config', JSON.stringify(eniConf))
  await daemon.ready
})

test('NodeRuntime: made with its owner, written at most once an interval, and made again when somebody deletes it', async () => {
  await using world = new DaemonWorld(['10.0.0.1', '10.0.0.2', '10.0.0.3'], { reportInterval: 300 })
  const daemon = await world.started()
  await until(() => daemon.state.binding().mode === 'local')
  const made = world.model.read(nodeRuntimes, nodeName)
  assert.equal(made?.metadata.ownerReferences?.[0]?.uid, 'node-uid')
  assert.equal(made?.metadata.annotations?.['network.alibabacloud.com/local-binding'], 'v1')
  let writes = 0
  world.model.faults.decide = call => {
    if (call.verb === 'patch' && call.plural === 'noderuntimes') writes++
    return undefined
  }
  for (const name of ['a', 'b', 'c']) {
    world.cluster.pod(name)
    await world.add(name)
  }
  const reported = () => Object.keys(world.model.read(nodeRuntimes, nodeName)?.status?.pods ?? {}).length
  await until(() => reported() === 3)
  assert.ok(writes <= 2, `${writes} writes for three pods`)
  world.model.remove(nodeRuntimes, nodeName)
  await until(() => reported() === 3)
})

test('a device that cannot be deleted keeps its address taken, and is tried again', async () => {
  await using world = new DaemonWorld(['10.0.0.1', '10.0.0.2'])
  const daemon = await world.started()
  world.cluster.pod('a')
  const address = ipOf(await world.add('a'))
  for (const name of world.kernel.links.keys()) world.kernel.stuck.add(name)
  assert.equal((await world.del('c-a')).exit, 0)
  world.cluster.pod('b')
  assert.notEqual(ipOf(await world.add('b')), address)
  assert.equal(daemon.state.leases().find(l => l.containerId === 'c-a')?.state, 'dying')
  world.kernel.stuck.clear()
  await until(() => daemon.state.leases().length === 1, 5_000)
})

test('a setup that fails leaves nothing behind, and the error says whether waiting helps', async () => {
  await using world = new DaemonWorld(['10.0.0.1'])
  const daemon = await world.started()
  world.cluster.pod('a')
  const macs = [...world.kernel.enis]
  world.kernel.enis.clear()
  const absent = await world.add('a')
  assert.equal(absent.body?.code, 11)
  assert.match(absent.body?.msg ?? '', /no device with MAC/)
  for (const mac of macs) world.kernel.enis.add(mac)
  await until(() => daemon.state.leases().length === 0)
  assert.equal(world.kernel.routes.size + world.kernel.links.size, 0)
  assert.equal((await world.add('a')).exit, 0)
})

test('leases by gRPC: the same book, the same rules, and the kernel is not touched', async () => {
  await using world = new DaemonWorld(['10.0.0.1', '10.0.0.2'])
  const daemon = await world.started()
  world.cluster.pod('old')
  const ref = { namespace: 'default', name: 'old', containerId: 'c1' }
  const place = { netns: '/run/netns/c1', ifName: 'eth0' }
  const first = await daemon.leases.alloc({ ...ref, ...place })
  assert.ok(!('refused' in first), JSON.stringify(first))
  assert.equal(first.interfaces[0]?.v4?.address, '10.0.0.1')
  assert.deepEqual(await daemon.leases.alloc({ ...ref, ...place }), first)
  assert.equal(world.kernel.links.size, 0)
  assert.deepEqual(await daemon.leases.info(ref), first)
  assert.equal(await daemon.leases.info({ ...ref, containerId: 'other' }), undefined)
  assert.deepEqual(await daemon.leases.release({ ...ref, containerId: 'other' }), { released: false })
  assert.deepEqual(await daemon.leases.release(ref), { released: true })
  await until(() => daemon.state.leases().length === 0)
  const refused = await daemon.leases.alloc({ ...ref, ...place, name: 'nobody' })
  assert.ok('refused' in refused && refused.refused === 'IPNotAllocated' && refused.message.includes('default/nobody'))
})
