// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { noObserver } from '#daemon/observer.ts'
import { nodeRuntimes } from '#kube/crd/node-runtime.ts'
import { nodes } from '#kube/reflect/node.ts'
import { AppError } from '#lib/errors.ts'
import { parseIp } from '#net/ip.ts'
import { conf, podArgs } from '../../test/support/cni-client.ts'
import { DaemonWorld, hasty, ipOf, ipsOf } from '../../test/support/daemon-world.ts'
import { nodeName } from '../../test/support/node-world.ts'
import { until } from '../../test/support/until.ts'

const addresses = (n: number) => Array.from({ length: n }, (_, i) => `10.0.0.${i + 1}`)

function report(world: DaemonWorld) {
  return world.model.read(nodeRuntimes, nodeName)?.status?.pods ?? {}
}

test('ADD gives an address, DEL frees it, and the cluster hears of both', async () => {
  await using world = new DaemonWorld(addresses(3))
  const daemon = await world.started()
  world.cluster.pod('web')
  const reply = await world.add('web')
  assert.equal(reply.exit, 0, JSON.stringify(reply))
  assert.deepEqual(reply.body?.ips, [{ interface: 1, address: '10.0.0.1/24', gateway: '10.0.0.253' }])
  assert.equal(reply.body?.interfaces?.[1]?.sandbox, '/run/netns/c-web')
  await until(() => report(world)['uid-web']?.ipv4 === '10.0.0.1')
  assert.equal(report(world)['uid-web']?.containerID, 'c-web')

  assert.deepEqual(await world.del('c-web'), { exit: 0, body: undefined })
  await until(() => daemon.state.leases().length === 0)
  assert.deepEqual(
    daemon.state.cooling().map(c => c.ip),
    ['10.0.0.1'],
  )
  assert.equal(world.kernel.links.size + world.kernel.routes.size, 0)
  await until(() => report(world)['uid-web']?.status.deleted !== undefined)
  assert.equal(report(world)['uid-web']?.ipv4, undefined)
})

test('what an ADD makes the daemon tell others waits until it has been answered', async () => {
  await using world = new DaemonWorld(addresses(3))
  let toldBefore: number | undefined
  world.observer = {
    ...noObserver,
    verb: verb => {
      if (verb === 'ADD') toldBefore = told()
    },
  }
  await world.started()
  world.cluster.pod('web')
  const told = () => world.model.events.filter(e => e.reason === 'AllocIPSucceed').length
  assert.equal((await world.add('web')).exit, 0)
  assert.equal(toldBefore, 0)
  await until(() => told() === 1)
})

test('dual stack: ADD gives a pair of one ENI, IPv4 first, and DEL frees both', async () => {
  await using world = new DaemonWorld(['10.0.0.1', 'fd00:1::1'], {}, 'dual')
  const daemon = await world.started()
  world.cluster.pod('web')
  const reply = await world.add('web')
  assert.deepEqual(reply.body?.ips, [
    { interface: 1, address: '10.0.0.1/24', gateway: '10.0.0.253' },
    { interface: 1, address: 'fd00:1::1/64', gateway: 'fd00:1::ffff:ffff:ffff:fffd' },
  ])
  await until(() => report(world)['uid-web']?.ipv6 === 'fd00:1::1')
  assert.equal(report(world)['uid-web']?.ipv4, '10.0.0.1')
  assert.deepEqual(
    daemon.state.why('default', 'web').findings.filter(f => f.startsWith('addresses')),
    [4, 6].map(f => `addresses IPv${f}: 0 idle, 1 leased, 0 cooling, 0 releasing, 0 barred`),
  )
  assert.equal((await world.del('c-web')).exit, 0)
  await until(() => daemon.state.cooling().length === 2)
  assert.equal(world.kernel.links.size + world.kernel.routes.size, 0)
  await until(() => report(world)['uid-web']?.status.deleted !== undefined)
})

test("IPv6 alone: the IPv4 address of an ENI is nobody's", async () => {
  await using world = new DaemonWorld(['10.0.0.1', 'fd00:1::1'], { addressWait: 50 }, 'ipv6')
  const daemon = await world.started()
  await until(() => daemon.state.binding().mode === 'local')
  for (const name of ['web', 'next']) world.cluster.pod(name)
  assert.deepEqual(ipsOf(await world.add('web')), ['fd00:1::1'])
  const dry = await world.add('next')
  assert.match(dry.body?.msg ?? '', /no address for pod default\/next after 50 ms: IPv6: no idle address \(1 leased\)$/)
})

test('a node that becomes dual-stack: pods have what they have, and new ones wait for both, also before the Node CR says so', async () => {
  await using world = new DaemonWorld(addresses(3))
  await world.started()
  world.cluster.pod('old')
  assert.deepEqual(ipsOf(await world.add('old')), ['10.0.0.1'])
  await world.stop()
  world.model.faults.decide = call => (call.verb === 'patch' && call.plural === 'nodes' ? 'unavailable' : undefined)
  world.cluster.configure({ ip_stack: 'dual' })
  const daemon = await world.started()
  world.cluster.pod('web')
  const waiting = world.add('web')
  await until(() => daemon.state.waiting()[0]?.step === 'lease')
  assert.match(daemon.state.waiting()[0]?.reason ?? '', /IPv4: 2 idle, 1 leased; IPv6: no address on this node/)
  assert.notEqual(world.cluster.node().spec.eni?.enableIPv6, true)
  world.cluster.address('fd00:1::7', {})
  assert.deepEqual(ipsOf(await waiting), ['10.0.0.2', 'fd00:1::7'])
  assert.deepEqual(ipsOf(await world.add('old')), ['10.0.0.1'])
})

test('an MTU that IPv6 cannot use is refused before there is a lease, also where no address is idle', async () => {
  await using world = new DaemonWorld(['fd00:1::1'], {}, 'ipv6')
  const daemon = await world.started()
  for (const name of ['web', 'next']) world.cluster.pod(name)
  const add = (name: string, mtu: number) => world.add(name, `c-${name}`, undefined, { ...conf, mtu })
  const refused = await add('web', 1279)
  assert.deepEqual([refused.body?.code, refused.body?.msg], [7, 'mtu: 1279 is less than 1280, which IPv6 needs'])
  assert.deepEqual(daemon.state.leases(), [])
  const first = await add('web', 1280)
  assert.equal(first.exit, 0)
  assert.deepEqual(await add('web', 1279), first, 'the first lease of a sandbox stands')
  assert.equal((await add('next', 1279)).body?.code, 7)
})

test('a repeated ADD returns the first lease; a new sandbox gets a new address and ends the old one', async () => {
  await using world = new DaemonWorld(addresses(3))
  const daemon = await world.started()
  world.cluster.pod('web')
  const first = await world.add('web', 'c1')
  assert.deepEqual(await world.add('web', 'c1'), first)
  const second = await world.add('web', 'c2')
  assert.notEqual(ipOf(second), ipOf(first))
  assert.deepEqual(
    daemon.state.leases().map(l => l.containerId),
    ['c2'],
  )
  assert.equal((await world.del('c1')).exit, 0)
  assert.equal(daemon.state.leases()[0]?.state, 'held')
})

test('a full node: a new sandbox takes the address of its previous one, whose DEL never came', async () => {
  await using world = new DaemonWorld(addresses(1))
  const daemon = await world.started()
  world.cluster.pod('web')
  assert.equal((await world.add('web', 'c1')).exit, 0)
  world.netns.delete('/run/netns/c1')
  assert.equal(ipOf(await world.add('web', 'c2')), '10.0.0.1')
  assert.deepEqual(
    daemon.state.leases().map(l => [l.containerId, l.state]),
    [['c2', 'held']],
  )
  assert.equal((await world.del('c1')).exit, 0)
  assert.equal(world.kernel.links.size, 1)
})

test('a DEL of the previous container does not wait for an ADD that waits', async () => {
  await using world = new DaemonWorld(addresses(2))
  const daemon = await world.started()
  world.cluster.pod('web')
  assert.equal((await world.add('web', 'c1')).exit, 0)
  // The pod was made anew under its name: the ADD waits for the watch to show it.
  const waiting = world.add('web', 'c2', 'uid-web-2')
  await until(() => daemon.state.waiting()[0]?.step === 'pod')
  assert.equal((await world.del('c1')).exit, 0)
  await until(() => daemon.state.leases().length === 0)
  world.cluster.removePod('web')
  world.cluster.pod('web', { uid: 'uid-web-2' })
  assert.equal((await waiting).exit, 0)
})

test('a container has one interface: a second one is refused, and its DEL, CHECK and GC leave the first alone', async () => {
  await using world = new DaemonWorld(addresses(2))
  const daemon = await world.started()
  world.cluster.pod('web')
  const first = await world.add('web')
  const call = { containerId: 'c-web', netns: '/run/netns/c-web', ifName: 'net1' }
  const second = await world.call({ ...call, command: 'ADD', args: podArgs('default', 'web', 'uid-web') })
  assert.equal(second.body?.code, 4)
  assert.match(second.body?.msg ?? '', /c-web has its network as eth0, and gets no second one as net1/)
  assert.deepEqual(await world.call({ ...call, command: 'DEL' }), { exit: 0, body: undefined })
  const checked = await world.call({ ...call, command: 'CHECK', config: { ...conf, prevResult: first.body } })
  assert.equal(checked.body?.code, 3)
  assert.equal(daemon.state.leases()[0]?.state, 'held')
  const valid = (ifname: string) => ({ ...conf, 'cni.dev/valid-attachments': [{ containerID: 'c-web', ifname }] })
  assert.equal((await world.call({ command: 'GC', config: valid('eth0') })).exit, 0)
  assert.equal(daemon.state.leases()[0]?.state, 'held')
  assert.equal((await world.call({ command: 'GC', config: valid('net1') })).exit, 0)
  await until(() => daemon.state.leases().length === 0)
})

test('the result of a plugin before ours in the chain comes first, and ours counts from there', async () => {
  await using world = new DaemonWorld(addresses(1))
  await world.started()
  world.cluster.pod('web')
  world.netns.add('/run/netns/c-web')
  const before = { interfaces: [{ name: 'other0', mac: '0a:00:00:00:00:09' }], ips: [{ interface: 0, address: '192.0.2.1/32' }] }
  const call = { command: 'ADD', containerId: 'c-web', netns: '/run/netns/c-web', args: podArgs('default', 'web', 'uid-web') }
  const { body } = await world.call({ ...call, config: { ...conf, prevResult: before } })
  assert.deepEqual(body?.interfaces?.map(i => i.name).slice(0, 1), ['other0'])
  assert.equal(body?.interfaces?.length, 3)
  assert.deepEqual(
    body?.ips?.map(ip => [ip.address, ip.interface]),
    [
      ['192.0.2.1/32', 0],
      ['10.0.0.1/24', 2],
    ],
  )
})

test('terway once more behind other plugins: what they answered is passed on, and its DEL ends nothing', async () => {
  await using world = new DaemonWorld(addresses(1))
  const daemon = await world.started()
  world.cluster.pod('web')
  const { body } = await world.add('web')
  const changed = { ...body, interfaces: body?.interfaces?.map(i => ({ ...i, mac: '02:11:22:33:44:55' })) }
  const args = podArgs('default', 'web', 'uid-web')
  const call = { containerId: 'c-web', netns: '/run/netns/c-web', args, config: { ...conf, again: true, prevResult: changed } }
  world.kernel.disturb(() => world.kernel.rules.clear())
  assert.deepEqual(await world.call({ ...call, command: 'ADD' }), { exit: 0, body: changed })
  assert.equal(world.kernel.rules.size, 1)
  assert.equal((await world.call({ ...call, command: 'CHECK' })).exit, 0)
  assert.equal((await world.call({ ...call, command: 'DEL' })).exit, 0)
  assert.equal(daemon.state.leases().length, 1)
  const foreign = await world.call({ ...call, command: 'ADD', containerId: 'c-other' })
  assert.deepEqual([foreign.body?.code, foreign.body?.msg], [3, 'container c-other has no network eth0 here'])
})

test('a ledger that is lost before the report: the sandbox is found again, is ours, and its DEL leaves nothing', async () => {
  await using world = new DaemonWorld(addresses(1), { reportInterval: 60_000 })
  await world.started()
  for (const name of ['web', 'other']) world.cluster.pod(name)
  const reply = await world.add('web')
  await world.stop()
  world.disk.leases.clear()
  const daemon = await world.started()
  const [lease] = daemon.state.leases()
  assert.deepEqual([lease?.containerId, lease?.owner, lease?.attachment.netns], ['c-web', 'cni', '/run/netns/c-web'])
  const check = { command: 'CHECK', containerId: 'c-web', netns: '/run/netns/c-web', config: { ...conf, prevResult: reply.body } }
  assert.deepEqual(await world.call(check), { exit: 0, body: undefined })
  world.kernel.disturb(() => world.kernel.rules.clear())
  await until(() => world.kernel.rules.size === 1)
  assert.equal((await world.del('c-web')).exit, 0)
  await until(() => daemon.state.leases().length === 0)
  assert.equal(world.kernel.links.size, 0)
  assert.equal(ipOf(await world.add('other')), '10.0.0.1')
})

test('a Node CR of an earlier machine of the same name gives no addresses', async () => {
  await using world = new DaemonWorld(addresses(20), { addressWait: 0 })
  await world.started()
  const machine = (instance: string) => {
    const node = world.model.read(nodes, nodeName)
    assert.ok(node)
    world.model.put(nodes, { ...node, spec: { ...node.spec, providerID: `r.${instance}` } })
  }
  let pods = 0
  const addOne = () => {
    const name = `web-${++pods}`
    world.cluster.pod(name)
    return world.add(name)
  }
  machine('i-2')
  await until(async () => {
    const { exit, body } = await addOne()
    if (exit === 0) return false
    assert.equal(body?.code, 11)
    assert.match(body?.msg ?? '', /the Node CR \S+ has not been seen/)
    return true
  })
  machine('i-1')
  await until(async () => (await addOne()).exit === 0)
})

test('two ADDs of one container at once make one lease', async () => {
  await using world = new DaemonWorld(addresses(3))
  const daemon = await world.started()
  world.cluster.pod('web')
  const [a, b] = await Promise.all([world.add('web', 'c1'), world.add('web', 'c1')])
  assert.deepEqual(a, b)
  assert.equal(daemon.state.leases().length, 1)
})

test('forty pods at once hold forty addresses, and all go again', async () => {
  await using world = new DaemonWorld(addresses(40))
  const daemon = await world.started()
  world.kernel.latency = () => Math.random() * 3
  const names = Array.from({ length: 40 }, (_, i) => `p${i}`)
  for (const name of names) world.cluster.pod(name)
  const replies = await Promise.all(names.map(name => world.add(name)))
  assert.equal(new Set(replies.map(ipOf)).size, 40)
  await Promise.all(names.map(name => world.del(`c-${name}`)))
  await until(() => daemon.state.leases().length === 0)
  assert.equal(world.kernel.links.size, 0)
})

test('a dry pool: ADD waits, takes the address that comes, and says what is missing when none does', async () => {
  await using world = new DaemonWorld([])
  const daemon = await world.started()
  world.cluster.pod('web')
  const waiting = world.add('web')
  await until(() => daemon.state.why('default', 'web').state === 'waiting')
  assert.match(daemon.state.why('default', 'web').findings[0] ?? '', /step lease .*no address on this node/)
  world.cluster.address('10.0.0.9', {})
  assert.equal(ipOf(await waiting), '10.0.0.9')

  world.cluster.pod('late')
  await world.stop()
  world.options = { ...world.options, addressWait: 100 }
  await world.started()
  const refused = await world.add('late')
  assert.equal(refused.body?.code, 11)
  assert.match(refused.body?.msg ?? '', /no address for pod default\/late .*1 leased/)
})

test('an address rests before the next pod, unless a pod waits and nothing else is idle', async () => {
  let waived = 0
  await using world = new DaemonWorld(addresses(2))
  world.observer = { ...world.observer, coolingWaived: () => waived++ }
  const daemon = await world.started()
  for (const name of ['a', 'b', 'c']) world.cluster.pod(name)
  assert.equal(ipOf(await world.add('a')), '10.0.0.1')
  await world.del('c-a')
  await until(() => daemon.state.leases().length === 0)
  assert.equal(ipOf(await world.add('b')), '10.0.0.2')
  assert.equal(waived, 0)
  assert.equal(ipOf(await world.add('c')), '10.0.0.1')
  assert.equal(waived, 1)
})

test('an ENI whose device the driver has not shown yet: ADD waits for it', async () => {
  await using world = new DaemonWorld(addresses(1))
  const daemon = await world.started()
  const [mac] = world.kernel.enis
  assert.ok(mac)
  world.kernel.enis.delete(mac)
  world.cluster.pod('web')
  const waiting = world.add('web')
  await until(() => daemon.state.waiting()[0]?.step === 'device')
  assert.match(daemon.state.waiting()[0]?.reason ?? '', /no device with MAC/)
  world.kernel.enis.add(mac)
  assert.equal(ipOf(await waiting), '10.0.0.1')
})

test('DEL of a sandbox ends the wait of its ADD', async () => {
  await using world = new DaemonWorld([])
  const daemon = await world.started()
  world.cluster.pod('web')
  const waiting = world.add('web')
  await until(() => daemon.state.waiting()[0]?.step === 'lease')
  assert.equal((await world.del('c-web')).exit, 0)
  assert.equal((await waiting).body?.code, 11)
  const late = world.add('web', 'c-late')
  await until(() => daemon.state.waiting()[0]?.step === 'lease')
  await world.stop()
  assert.equal((await late).body?.code, 11)
  const warnings = world.model.events.filter(e => e.reason === 'AllocIPFailed')
  assert.deepEqual(warnings, [], 'neither an ADD that nobody wants any more nor a stop is a failure of the pod')
})

test('warm ADD and DEL work while the API server is away', async () => {
  await using world = new DaemonWorld(addresses(2))
  const daemon = await world.started()
  world.cluster.pod('web')
  await until(
    () => daemon.state.binding().mode === 'local' && daemon.state.why('default', 'web').findings.some(f => f.includes('is known')),
  )
  world.model.faults.unavailable(true)
  assert.equal((await world.add('web')).exit, 0)
  assert.equal((await world.del('c-web')).exit, 0)
  await until(() => daemon.state.leases().length === 0)
  world.model.faults.unavailable(false)
  await until(() => report(world)['uid-web'] === undefined || report(world)['uid-web']?.status.deleted !== undefined)
})

test('marks: an idle address is given back, a leased one is not, and both answers survive a restart', async () => {
  const disposed: number[] = []
  await using world = new DaemonWorld(addresses(2), hasty)
  world.observer = { ...world.observer, disposed: family => disposed.push(family) }
  await world.started()
  world.cluster.pod('web')
  const leased = ipOf(await world.add('web'))
  world.cluster.address(leased, { status: 'Deleting', releaseNonce: 'n1' })
  world.cluster.address('10.0.0.2', { status: 'Deleting', releaseNonce: 'n2' })
  const releases = () => world.model.read(nodeRuntimes, nodeName)?.status?.releases ?? {}
  await until(() => Object.keys(releases()).length === 2)
  assert.equal(releases()[leased]?.answer, 'refused')
  assert.equal(releases()['10.0.0.2']?.answer, 'acked')
  assert.deepEqual(disposed, [4], 'the refused one is not counted')

  await world.stop()
  const daemon = await world.started()
  world.cluster.pod('next')
  const refused = await world.add('next')
  assert.match(refused.body?.msg ?? '', /1 barred/)
  // The mark on the leased address is taken back; the other address is unassigned, and assigned again later.
  world.cluster.address(leased, { status: 'Valid', releaseNonce: '' })
  world.cluster.address('10.0.0.2', undefined)
  await until(() => Object.keys(releases()).length === 0)
  world.cluster.address('10.0.0.2', { status: 'Valid' })
  await until(() => daemon.state.pool().counts[4].idle === 1)
  assert.equal(ipOf(await world.add('next')), '10.0.0.2')
})

test("Terway's protocol: while another controller leads, only addresses bound to the pod are leased and nothing is acked", async () => {
  await using world = new DaemonWorld(addresses(2))
  world.cluster.lead('terway-controlplane-7d9f_0b1c')
  const daemon = await world.started()
  assert.equal(daemon.state.binding().mode, 'foreign')
  world.cluster.address('10.0.0.1', { status: 'Deleting', releaseNonce: 'n1' })
  world.cluster.pod('web')
  const waiting = world.add('web')
  await until(() => daemon.state.waiting()[0]?.reason.includes('binds no address') === true)
  world.cluster.address('10.0.0.2', { podID: 'default/web', podUID: 'uid-web' })
  assert.equal(ipOf(await waiting), '10.0.0.2')
  assert.deepEqual(daemon.state.releases(), [])
  await world.del('c-web')
  await until(() => report(world)['uid-web']?.status.deleted !== undefined)
})

test('a CRD that prunes the added fields means foreign binding', async () => {
  await using world = new DaemonWorld(addresses(1))
  world.model.prune(nodeRuntimes, object => {
    const { status, ...rest } = object as { status?: { pods?: object } }
    return { ...rest, status: { pods: status?.pods ?? {} } } as unknown as typeof object
  })
  const daemon = await world.started()
  await until(() => daemon.state.binding().reason.includes('drops our fields'))
})

test('a pod that was bound but never had a sandbox is reported as deleted once it is gone', async () => {
  await using world = new DaemonWorld(addresses(1))
  world.cluster.lead('somebody-else')
  await world.started()
  world.cluster.address('10.0.0.1', { podID: 'default/ghost', podUID: 'uid-ghost' })
  const poke = setInterval(() => world.cluster.address('10.0.0.1', {}), 20)
  await until(() => report(world)['uid-ghost']?.status.deleted !== undefined).finally(() => clearInterval(poke))
})

test('a STATUS that comes while the daemon starts is answered when it is ready', async () => {
  await using world = new DaemonWorld(addresses(1), { statusWait: 60_000 })
  world.model.faults.unavailable(true)
  const daemon = await world.start()
  const early = world.call({ command: 'STATUS' })
  world.model.faults.unavailable(false)
  assert.equal((await early).exit, 0)
  await daemon.ready
})

test('readiness: the CNI list appears only when the daemon serves, and STATUS says what is missing', async () => {
  await using world = new DaemonWorld(addresses(1))
  world.model.faults.unavailable(true)
  const daemon = await world.start()
  const early = await world.call({ command: 'STATUS' })
  assert.equal(early.body?.code, 50)
  assert.match(early.body?.msg ?? '', /API server/)
  assert.equal(world.files.has('/host-etc-net.d/10-terway.conflist'), false)
  world.model.faults.unavailable(false)
  await daemon.ready
  assert.equal((await world.call({ command: 'STATUS' })).exit, 0)
  const list = JSON.parse(world.files.get('/host-etc-net.d/10-terway.conflist') ?? '{}')
  assert.equal(list.plugins[0].type, 'terway')
})

test('a full ledger: ADD and DEL fail clearly, and nothing has changed', async () => {
  await using world = new DaemonWorld(addresses(2))
  const daemon = await world.started()
  world.cluster.pod('web')
  await world.add('web')
  world.cluster.pod('next')
  world.ledger.fault = () => {
    throw new AppError('ledger-full', 'ledger /x cannot grow: free space on its file system')
  }
  assert.match((await world.add('next')).body?.msg ?? '', /cannot grow: free space/)
  assert.equal((await world.del('c-web')).body?.code, 5)
  assert.deepEqual(
    daemon.state.leases().map(l => [l.containerId, l.state]),
    [['c-web', 'held']],
  )
  assert.equal(world.kernel.routes.get(parseIp('10.0.0.1')) !== undefined, true)
  world.ledger.fault = () => {}
  assert.equal((await world.add('next')).exit, 0)
  assert.equal((await world.del('c-web')).exit, 0)
})
