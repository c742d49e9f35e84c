// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { nodeCrs } from '#kube/crd/node.ts'
import { nodeRuntimes } from '#kube/crd/node-runtime.ts'
import { configMaps } from '#kube/reflect/config-map.ts'
import { nodes } from '#kube/reflect/node.ts'
import { silent } from '#lib/log.ts'
import type { Stack } from '#net/stack.ts'
import { DaemonWorld, hasty, ipOf } from '../../test/support/daemon-world.ts'
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

  configure(world, 'eni-config', JSON.stringify({ ...eniConf, max_pool_size: 'nine', ip_stack: 'ipv5' }))
  const complaints = () => world.model.events.filter(e => e.about.kind === 'Node' && e.type === 'Warning')
  await until(() => complaints().length === 1)
  assert.equal(complaints()[0]?.reason, 'ConfigError')
  assert.match(complaints()[0]?.message ?? '', /max_pool_size is "nine".*ip_stack is "ipv5"/)
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

test('IPv6 on a kernel that has none is refused: at first the node is not ready, later the last good configuration stays', async () => {
  await using world = new DaemonWorld(['10.0.0.1'], {}, 'dual')
  world.ipv6 = false
  const daemon = await world.start()
  const words = 'eni_conf: ip_stack is "dual", but the kernel of this node has no IPv6'
  await until(() => JSON.stringify(daemon.state.readiness()).includes('has no IPv6'))
  world.cluster.configure({})
  await daemon.ready
  await until(() => world.model.read(nodeCrs, nodeName)?.spec.eni?.enableIPv6 === false)
  const told = () => world.model.events.filter(e => e.reason === 'ConfigError' && e.message.startsWith(words)).length
  assert.equal(told(), 1)
  world.cluster.configure({ ip_stack: 'dual', max_pool_size: 9 })
  await until(() => told() === 2)
  assert.deepEqual([pool(world)?.maxPoolSize, world.cluster.node().spec.eni?.enableIPv6], [5, false])
  world.cluster.pod('web')
  assert.equal((await world.add('web')).exit, 0)
})

test('a broken CNI configuration at a restart: the last good list serves on, and the node is told once', async () => {
  await using world = new DaemonWorld(['10.0.0.1'])
  await world.started()
  await world.stop()
  world.files.set('/etc/eni/10-terway.conf', '{"type":"terway","mtu":"1500"}')
  await world.started()
  assert.equal((await world.call({ command: 'STATUS' })).exit, 0)
  await until(() => world.model.events.some(e => e.reason === 'ConfigError' && e.message.includes('10-terway.conf: mtu is "1500"')))
  assert.equal(world.model.events.filter(e => e.reason === 'ConfigError').length, 1)
})

test('an error that lasts is told once, however often the cluster changes', async () => {
  await using world = new DaemonWorld(['10.0.0.1'])
  await world.started()
  const told = () => world.model.events.filter(e => e.reason === 'ConfigError' && e.message.includes('no entry for zone zone-a'))
  configure(world, 'eni-config', JSON.stringify({ ...eniConf, vswitches: { elsewhere: ['vsw-1'] } }))
  await until(() => told().length > 0)
  for (let i = 0; i < 5; i++) {
    const present = world.model.read(nodeCrs, nodeName)
    assert.ok(present)
    world.model.put(nodeCrs, { ...present, metadata: { ...present.metadata, labels: { poke: String(i) } } })
    configure(world, 'eni-config', JSON.stringify({ ...eniConf, vswitches: { elsewhere: ['vsw-1'] }, max_pool_size: 6 + i }))
  }
  // What follows is told after whatever the pokes have led to.
  configure(world, 'eni-config', '{')
  await until(() => world.model.events.some(e => e.reason === 'ParseFailed'))
  assert.equal(told().length, 1)
})

test("a node's own ConfigMap that does not answer, or does not exist, changes nothing", async () => {
  await using world = new DaemonWorld(['10.0.0.1'])
  await world.started()
  await until(() => pool(world)?.maxPoolSize === 5)
  const written = world.model.read(nodeCrs, nodeName)?.spec
  const label = (labels: Record<string, string>) =>
    world.model.put(nodes, { apiVersion: 'v1', kind: 'Node', metadata: { name: nodeName, labels }, spec: {} })
  configure(world, 'special', JSON.stringify({ max_pool_size: 20 }))
  label({ 'terway-config': 'special' })
  await until(() => pool(world)?.maxPoolSize === 20)
  label({ 'terway-config': 'absent' })
  await until(() => world.model.events.some(e => e.reason === 'ConfigError' && e.message.includes('kube-system/absent')))
  assert.equal(pool(world)?.maxPoolSize, 20)

  await world.stop()
  const daemon = await world.started()
  assert.equal(daemon.state.readiness().ready, true, 'the base serves the daemon itself')
  assert.equal(pool(world)?.maxPoolSize, 20, 'the Node CR keeps what it has')
  configure(world, 'absent', JSON.stringify({ max_pool_size: 9 }))
  await until(() => pool(world)?.maxPoolSize === 9)
  label({})
  await until(() => JSON.stringify(world.model.read(nodeCrs, nodeName)?.spec) === JSON.stringify(written))
})

test('a key that nobody knows, and one without effect, are reported once', async () => {
  const said: string[] = []
  await using world = new DaemonWorld(['10.0.0.1'])
  world.log = { ...silent, warn: (o: object, text?: string) => said.push(`${text} ${JSON.stringify(o)}`) }
  const odd = { ...eniConf, service_cidr: '10.96.0.0/12', Max_Pool_Size: 3, kube_client_qps: 20 }
  configure(world, 'eni-config', JSON.stringify(odd))
  await world.started()
  for (const size of [6, 7, 8]) {
    configure(world, 'eni-config', JSON.stringify({ ...odd, max_pool_size: size }))
    await until(() => pool(world)?.maxPoolSize === size)
  }
  assert.deepEqual(
    said.filter(text => text.includes('eni_conf')),
    [
      'eni_conf has keys that nobody knows; they have no effect {"keys":["Max_Pool_Size"]}',
      'eni_conf has keys of Terway that have no effect here {"keys":["kube_client_qps"]}',
    ],
  )
})

test("without service_cidr the network of Services is kubeadm's", async () => {
  await using world = new DaemonWorld(['10.0.0.1'])
  const data = { ClusterConfiguration: 'kind: ClusterConfiguration\nnetworking:\n  serviceSubnet: 10.112.0.0/12,fd00::/108\n' }
  world.model.put(configMaps, { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'kubeadm-config', namespace: 'kube-system' }, data })
  const { leases } = await world.started()
  world.cluster.pod('web')
  const network = await leases.alloc({ namespace: 'default', name: 'web', containerId: 'c1', netns: '/n', ifName: 'eth0' })
  assert.ok(!('refused' in network))
  assert.deepEqual([network.serviceCidr4, network.serviceCidr6], ['10.112.0.0/12', 'fd00::/108'])
})

test('a network of Services is looked for in the families of the pods', async () => {
  const asked = async (stack: Stack, service_cidr: string) => {
    const said: string[] = []
    await using world = new DaemonWorld([], {}, stack)
    world.log = { ...silent, warn: (_: object, text?: string) => said.push(text ?? '') }
    world.cluster.configure({ ip_stack: stack, service_cidr })
    await world.started()
    return said.flatMap(text => /names an (.*) network of Services/.exec(text)?.[1] ?? [])
  }
  assert.deepEqual(await asked('ipv6', 'fd00:9::/108'), [])
  assert.deepEqual(await asked('ipv6', '10.96.0.0/12'), ['IPv6'])
  assert.deepEqual(await asked('ipv4', '10.96.0.0/12'), [])
  assert.deepEqual(await asked('dual', '10.96.0.0/12'), ['IPv6'])
  assert.deepEqual(await asked('dual', ''), ['IPv4 or IPv6'])
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
  await until(() => daemon.state.leases().length === 1)
})

test('a setup that fails leaves nothing behind, and the error says whether waiting helps', async () => {
  await using world = new DaemonWorld(['10.0.0.1'], hasty)
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
  await using world = new DaemonWorld(['10.0.0.1', '10.0.0.2'], hasty)
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
