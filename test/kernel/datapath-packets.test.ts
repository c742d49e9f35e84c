// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { parseCidr } from '#net/cidr.ts'
import { DatapathLab, hostIp4, internet4, internet6, type Probe } from './datapath-lab.ts'

let lab: DatapathLab
let host: Probe
before(async () => {
  lab = await DatapathLab.create('p')
  host = await lab.probe('host')
  await lab.probe('gw0')
  await lab.probe('gw1')
  await lab.probe('gw2')
})
after(() => lab.close())

test('pods leave through their own ENI, reach each other and the node, and are reached by it', async () => {
  const [a, b] = [lab.pod(11, { eni: 1, families: [4, 6] }), lab.pod(12, { eni: 2, families: [4, 6] })]
  const first = await lab.datapath.setup(a)
  await lab.datapath.setup(b)
  assert.ok(first.ops.length > 0)
  assert.deepEqual((await lab.datapath.setup(a)).ops, [], 'a second setup does nothing')
  assert.deepEqual(await lab.datapath.diff(b), [])
  const [podA, podB] = [await lab.probe('pod11'), await lab.probe('pod12')]

  assert.equal(await podA.ask(internet4), 'gw1 10.0.1.11')
  assert.equal(await podB.ask(internet4), 'gw2 10.0.2.12')
  assert.equal(await host.ask(internet4), `gw0 ${hostIp4}`, "the node's own traffic stays on its own interface")
  assert.equal(await podA.ask(internet6), 'gw1 fd00:1::11')
  assert.equal(await podB.ask(internet6), 'gw2 fd00:2::12')
  assert.equal(await podA.ask('10.0.2.12'), 'pod12 10.0.1.11')
  assert.equal(await podB.ask('fd00:1::11'), 'pod11 fd00:2::12')
  assert.equal(await host.ask('10.0.1.11'), `pod11 ${hostIp4}`)
  assert.match(await host.ask('fd00:2::12'), /^pod12 /)
  assert.equal(await podA.ask(hostIp4), 'host 10.0.1.11')
})

test('extra routes lead over the veth to the ENI, without a default route', async () => {
  const a = lab.pod(13, { more: { defaultRoute: false, extraRoutes: [parseCidr('198.51.100.0/24')] } })
  await lab.datapath.setup(a)
  const pod = await lab.probe('pod13')
  assert.equal(await pod.ask(internet4), 'gw1 10.0.1.13')
  assert.match(lab.run('pod13', 'ip route'), /198\.51\.100\.0\/24 via 10\.0\.1\.253 dev eth0 onlink/)
  assert.doesNotMatch(lab.run('pod13', 'ip route'), /default/)
  assert.match(lab.run('host', `ip addr show ${a.hostIfName}`), /inet 169\.254\.1\.1\/32/)
  assert.deepEqual(await lab.datapath.diff(a), [])
})

test('bandwidth limits become token buckets, a changed limit changes its bucket only', async () => {
  const a = lab.pod(14, { more: { ingressBytesPerSecond: 1_250_000, egressBytesPerSecond: 5_000_000_000 } })
  await lab.datapath.setup(a)
  assert.match(lab.run('host', `tc qdisc show dev ${a.hostIfName}`), /tbf 1: root .* rate 10Mbit burst 3000b lat 25ms/)
  assert.match(lab.run('pod14', 'tc qdisc show dev eth0'), /tbf 1: root .* rate 40Gbit .* lat 25ms/)
  assert.deepEqual(await lab.datapath.diff(a), [])
  const { ops } = await lab.datapath.setup({ ...a, ingressBytesPerSecond: 2_500_000 })
  assert.deepEqual(
    ops.map(o => o.op),
    ['tbf-replace'],
  )
})

test("what a load balancer sends back to a pod's own node passes the node's interface", async () => {
  lab.run('host', 'sysctl -w net.ipv4.conf.eth0.rp_filter=1')
  await lab.datapath.setup(lab.pod(16))
  lab.run('gw0', 'ip addr add 10.0.1.16/32 dev lo')
  const filtered = () => lab.run('host', 'nstat -asz TcpExtIPReversePathFilter').trim().split('\n').at(-1)
  const before = filtered()
  lab.run('gw0', `${process.execPath} ${join(import.meta.dirname, 'udp-send.ts')} 10.0.1.16 ${hostIp4} 7000`)
  assert.equal(filtered(), before)
})

test('a pod withdrawn and reaped leaves nothing', async () => {
  const a = lab.pod(15, { families: [4, 6] })
  const before = await lab.datapath.inventory()
  await lab.datapath.setup(a)
  const pod = await lab.probe('pod15')
  assert.equal(await host.ask('10.0.1.15'), `pod15 ${hostIp4}`)
  await lab.datapath.withdraw(a)
  assert.equal(await host.ask('10.0.1.15', 200), 'timeout', 'unroutable at once')
  assert.deepEqual(await lab.datapath.reap([a.hostIfName]), { gone: [a.hostIfName], remaining: [] })
  assert.deepEqual(await lab.datapath.inventory(), before)
  await lab.datapath.withdraw(a)
  assert.deepEqual(await lab.datapath.reap([a.hostIfName]), { gone: [a.hostIfName], remaining: [] }, 'again: nothing to do')
  pod.close()
})
