// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { capabilitiesPath, parseCapabilities } from '#config/capabilities.ts'
import { snapshotOf } from '#daemon/expose/snapshot.ts'
import { nodeCrs } from '#kube/crd/node.ts'
import { parseMac } from '#net/mac.ts'
import { type CniReply, conf } from '../../test/support/cni-client.ts'
import { DaemonWorld, ipOf, ipsOf } from '../../test/support/daemon-world.ts'
import { macOfEni, nodeName } from '../../test/support/node-world.ts'
import { until } from '../../test/support/until.ts'

/** A node whose pods have an ENI each, with as many as there are lists of addresses. */
function worldOf(...enis: readonly (readonly string[])[]): DaemonWorld {
  const world = new DaemonWorld([])
  world.cluster.exclusive(enis)
  for (const i of enis.keys()) world.kernel.enis.add(parseMac(macOfEni(i + 1)))
  world.cluster.configure({ service_cidr: '10.96.0.0/12' })
  return world
}
const limited = { containers: [{ name: 'c', resources: { limits: { 'aliyun/eni': '1' } } }] }
const enisOf = (world: DaemonWorld) => world.daemon?.state.leases().map(l => l.attachment.eni.eniId)
const capability = (world: DaemonWorld) => parseCapabilities(world.files.get(capabilitiesPath) ?? '').get('cni_exclusive_eni')
const told = (world: DaemonWorld, reason: string) => world.model.events.filter(e => e.reason === reason).map(e => e.message)
const code = ({ body }: CniReply) => body?.code

test('ADD gives a whole ENI, again the same one, and DEL frees it', async () => {
  await using world = worldOf(['10.0.0.1'], ['10.0.0.2'])
  const daemon = await world.started()
  world.cluster.pod('web', { spec: limited })
  const reply = await world.add('web')
  assert.deepEqual(reply.body?.ips, [{ interface: 1, address: '10.0.0.1/24', gateway: '10.0.0.253' }])
  const [lease] = daemon.state.leases()
  assert.ok(lease?.attachment.kind === 'exclusive-eni')
  assert.deepEqual([lease.attachment.hostRoutes, lease.attachment.hostPeer], [['10.96.0.0/12', '169.254.20.10/32'], true])
  assert.deepEqual(await world.add('web'), reply)

  assert.equal((await world.del('c-web')).exit, 0)
  await until(() => daemon.state.leases().length === 0)
  assert.equal(world.kernel.links.size + world.kernel.routes.size, 0)
  assert.deepEqual(
    daemon.state.cooling().map(c => c.ip),
    ['10.0.0.1'],
  )
})

test('a new sandbox of a pod gets another ENI while there is one, and else the one that the old sandbox had', async () => {
  await using world = worldOf(['10.0.0.1'], ['10.0.0.2'])
  await world.started()
  world.cluster.pod('web', { spec: limited })
  const ips = []
  for (const container of ['c1', 'c2', 'c3']) ips.push(ipOf(await world.add('web', container)))
  assert.deepEqual(ips, ['10.0.0.1', '10.0.0.2', '10.0.0.1'])
  assert.deepEqual(enisOf(world), ['eni-1'])
})

test('an ENI that shows a second address, or the other family, has one pod all the same', async () => {
  await using world = worldOf(['10.0.0.1', '10.0.0.3', 'fd00:1::1'], ['10.0.0.2', 'fd00:1::2'])
  await world.started()
  for (const name of ['a', 'b']) world.cluster.pod(name, { spec: limited })
  world.cluster.pod('c')
  await world.add('a')
  world.cluster.configure({ ip_stack: 'ipv6' })
  await until(() => world.model.read(nodeCrs, nodeName)?.spec.eni?.enableIPv4 === false)
  assert.deepEqual(ipsOf(await world.add('b')), ['fd00:1::2'])
  const dry = await world.add('c')
  assert.equal(code(dry), 11)
  assert.match(dry.body?.msg ?? '', /each pod takes a whole ENI: 2 of 2 have theirs/)
  assert.deepEqual(enisOf(world), ['eni-1', 'eni-2'])
})

test('a node without ENIs yet: the pod waits for the one that is made for it', async () => {
  await using world = worldOf()
  world.options = { ...world.options, addressWait: 5_000 }
  await world.started()
  world.cluster.pod('web')
  const reply = world.add('web')
  await until(() => world.daemon?.state.waiting()[0]?.reason.includes('one is made for each pod') === true)
  world.kernel.enis.add(parseMac(macOfEni(1)))
  world.cluster.exclusive([['10.0.0.1']])
  assert.equal(ipOf(await reply), '10.0.0.1')
})

test('a pod that wants a network of its own is refused by name', async () => {
  await using world = worldOf(['10.0.0.1'])
  await world.started()
  world.cluster.pod('own', { annotations: { 'k8s.aliyun.com/pod-eni': 'true' } })
  world.cluster.pod('rdma', { spec: { containers: [{ name: 'c', resources: { limits: { 'aliyun/erdma': '1' } } }] } })
  assert.match((await world.add('own')).body?.msg ?? '', /wants an ENI of its own \(k8s\.aliyun\.com\/pod-eni\)/)
  assert.match((await world.add('rdma')).body?.msg ?? '', /limit on aliyun\/erdma/)
})

test('people and plugins are told', async () => {
  await using world = worldOf(['10.0.0.1'], ['10.0.0.2'])
  const daemon = await world.started()
  for (const name of ['web', 'old']) world.cluster.pod(name, { spec: limited })
  await world.add('web')
  const { findings } = daemon.state.why('default', 'web')
  assert.match(findings[0] ?? '', /^container c-web has 10\.0\.0\.1 of its own ENI eni-1 \(exclusive\): held/)
  assert.ok(
    findings.includes('exclusive node: each pod takes a whole ENI (limit aliyun/eni), 1 of 2 ENIs have their pod'),
    findings.join('\n'),
  )
  const { config, trace, leases } = snapshotOf(daemon.state, { name: nodeName, daemon_mode: 'ENIMultiIP' })
  assert.deepEqual([config.daemon_mode, trace['ENI mode'], leases.map(l => l.exclusive)], ['ENIOnly', 'exclusive', [true]])

  const request = { namespace: 'default', name: 'old', containerId: 'c-old', netns: '/run/netns/c-old', ifName: 'eth0' }
  const network = await daemon.leases.alloc(request)
  assert.ok(!('refused' in network))
  assert.deepEqual([network.exclusive, network.interfaces[0]?.eni.eniId], [true, 'eni-2'])
})

test('the runtime gets the list of such nodes, and V2 is no mistake but of no use', async () => {
  await using world = worldOf(['10.0.0.1'])
  const list = {
    cniVersion: '0.4.0',
    plugins: [{ type: 'terway', eniip_virtual_type: 'datapathv2', disable_host_peer: true }, { type: 'portmap' }],
  }
  world.files.set('/etc/eni/10-terway.conflist', JSON.stringify(list))
  const daemon = await world.started()
  const { name, plugins } = JSON.parse(world.files.get('/host-etc-net.d/10-terway.conflist') ?? '')
  assert.deepEqual([name, plugins.map((p: { type: string }) => p.type)], ['terway', ['terway', 'portmap']])
  assert.deepEqual([plugins[0].eniip_virtual_type, plugins[0].capabilities], ['veth', { bandwidth: true }])
  assert.deepEqual(told(world, 'DataPathSelected'), [
    'veth: each pod of this node has an ENI itself, past the node, with no need of DataPath V2 (eniip_virtual_type is datapathv2)',
  ])
  assert.equal(world.model.read(nodeCrs, nodeName)?.spec.datapath?.type, 'veth')
  world.cluster.pod('web')
  const { body } = await world.add('web', 'c1', 'uid-web', {
    ...conf,
    runtimeConfig: { bandwidth: { ingressRate: 800, egressRate: 1_600 } },
  })
  assert.deepEqual(
    body?.interfaces?.map(i => i.name),
    ['eth0'],
  )
  const [lease] = daemon.state.leases()
  assert.ok(lease?.attachment.kind === 'exclusive-eni')
  assert.deepEqual([lease.attachment.hostPeer, lease.attachment.egressBytesPerSecond], [false, 200])
})

test('a list that is refused after a restart: the one that the runtime has says what pods get', async () => {
  await using world = worldOf(['10.0.0.1'])
  const list = { cniVersion: '0.4.0', plugins: [{ type: 'terway', disable_host_peer: true }] }
  world.files.set('/etc/eni/10-terway.conflist', JSON.stringify(list))
  await world.started()
  await world.stop()
  world.files.set('/etc/eni/10-terway.conflist', '{')
  const daemon = await world.started()
  world.cluster.pod('web')
  assert.equal((await world.add('web')).exit, 0)
  const [lease] = daemon.state.leases()
  assert.ok(lease?.attachment.kind === 'exclusive-eni' && !lease.attachment.hostPeer)
})

test('Services: by programs as on any node, and where kube-proxy has them that is told', async () => {
  await using world = worldOf(['10.0.0.1'])
  await world.started()
  await until(() => told(world, 'ServicesLimited').some(m => /reach no Services \(exclusive_services in eni_conf/.test(m)))
  world.cluster.configure({ service_cidr: '10.96.0.0/12', kube_proxy_replacement: false, exclusive_services: true })
  await until(() => world.kernel.node.kind === 'services')
  assert.equal(told(world, 'ServicesLimited').length, 1)
})

test('a mode that has changed: the daemon that lives goes on, the next one serves nobody until it is taken back', async () => {
  await using world = worldOf(['10.0.0.1'], ['10.0.0.2'])
  await world.started()
  assert.equal(capability(world), 'eniOnly')
  for (const name of ['web', 'later']) world.cluster.pod(name, { spec: limited })
  world.cluster.label(undefined)
  const way = /eniOnly was taken away after the node had joined: set it again, or drain the node, delete it from the cluster and reboot it/
  await until(() => told(world, 'ConfigError').some(m => way.test(m)))
  assert.equal((await world.add('web')).exit, 0)

  await world.stop()
  const daemon = await world.start()
  await until(() => way.test(world.daemon?.state.trace()['ENI mode'] ?? ''))
  const unserved = await world.call({ command: 'STATUS' })
  assert.deepEqual([code(unserved), way.test(unserved.body?.msg ?? '')], [50, true])
  assert.equal(code(await world.add('later')), 11)
  assert.equal((await world.del('c-web')).exit, 0)

  world.cluster.label('ENIOnly')
  await daemon.ready
  assert.equal((await world.call({ command: 'STATUS' })).exit, 0)
  assert.equal(ipOf(await world.add('later')), '10.0.0.2')
})

test('a node that joins anew with another mode needs a reboot in between', async () => {
  await using world = worldOf(['10.0.0.1'])
  world.files.set(capabilitiesPath, 'erdma = true\ncni_exclusive_eni = default\n')
  const daemon = await world.start()
  await until(() => told(world, 'ConfigError').some(m => /cni_exclusive_eni = default, but the Node CR says eniOnly/.test(m)))
  assert.equal(daemon.state.readiness().ready, false)
  world.files.delete(capabilitiesPath)
  await daemon.ready
  assert.equal(capability(world), 'eniOnly')
})

test('a shared node says so too, and is refused the label later', async () => {
  await using world = new DaemonWorld(['10.0.0.1'])
  await world.started()
  assert.equal(capability(world), 'default')
  world.cluster.label('eniOnly')
  await until(() => told(world, 'ConfigError').some(m => /eniOnly was set after the node had joined: take it away again/.test(m)))
  world.cluster.pod('web')
  assert.equal((await world.add('web')).exit, 0)
  assert.equal(world.daemon?.state.leases()[0]?.attachment.kind, 'shared-eni')
})

test('a ledger that is lost: the sandbox is found again as what it is, and its DEL leaves nothing', async () => {
  await using world = worldOf(['10.0.0.1'])
  await world.started()
  world.cluster.pod('web', { spec: limited })
  await world.add('web')
  await world.stop()
  world.disk.leases.clear()
  const daemon = await world.started()
  const [lease] = daemon.state.leases()
  assert.deepEqual([lease?.containerId, lease?.owner, lease?.attachment.kind], ['c-web', 'cni', 'exclusive-eni'])
  assert.equal((await world.del('c-web')).exit, 0)
  await until(() => daemon.state.leases().length === 0)
})
