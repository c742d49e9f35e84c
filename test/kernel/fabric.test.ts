// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { after, before, test } from 'node:test'
import { asCidr, familyOf } from '../../sim/fabric/address.ts'
import { Fabric, inside } from '../../sim/fabric/fabric.ts'
import { must, run } from '../../sim/fabric/run.ts'
import type { EniView, FabricView } from '../../sim/model/view.ts'
import { until } from '../support/until.ts'

/*
 *   a (i-a)  eth0 10.0.0.1, fd00:5::1   eth1 10.0.1.11 10.0.1.12, fd00:5:0:1::11   ─┐            ┌─ internet 203.0.113.254, 2001:db8:113::254
 *                                                                                     ├─ fabric ───┤  (SNAT 203.0.113.1,
 *   b (i-b)  eth0 10.0.0.2, fd00:5::2   eth1 10.0.1.21 10.0.1.22, fd00:5:0:1::21   ─┘            └─  EIP  203.0.113.2 → 10.0.0.2)
 */
const id = `fabt-${process.pid}`
const names = { fabric: `${id}-fabric`, internet: `${id}-internet` }
const machines = { a: `${id}-a`, b: `${id}-b` }
const children: ChildProcess[] = []

const eni = (n: number, instanceId: string, type: EniView['type'], vSwitchId: string, ipv4: string[], ipv6: string[] = []): EniView => ({
  id: `eni-${n}`,
  mac: `00:16:3e:00:01:0${n}`,
  vSwitchId,
  type,
  instanceId,
  ipv4,
  ipv6,
  prefixes: [],
  securityGroupIds: ['sg-nodes'],
  sourceDestCheck: true,
  mtu: 1500,
})
const enis = [
  eni(1, 'i-a', 'Primary', 'vsw-0', ['10.0.0.1'], ['fd00:5::1']),
  eni(2, 'i-b', 'Primary', 'vsw-0', ['10.0.0.2'], ['fd00:5::2']),
  eni(3, 'i-a', 'Secondary', 'vsw-1', ['10.0.1.11', '10.0.1.12'], ['fd00:5:0:1::11']),
  { ...eni(4, 'i-b', 'Secondary', 'vsw-1', ['10.0.1.21', '10.0.1.22'], ['fd00:5:0:1::21']), securityGroupIds: ['sg-closed'] },
]
const web = {
  direction: 'ingress',
  policy: 'accept',
  priority: 1,
  protocol: 'tcp',
  ports: [80, 80],
  peer: { groupId: 'sg-nodes' },
} as const
const initial: FabricView = {
  vSwitches: [
    { id: 'vsw-0', zoneId: 'z', cidr4: '10.0.0.0/24', cidr6: 'fd00:5::/64' },
    { id: 'vsw-1', zoneId: 'z', cidr4: '10.0.1.0/24', cidr6: 'fd00:5:0:1::/64' },
  ],
  instances: [
    { id: 'i-a', running: true },
    { id: 'i-b', running: true },
  ],
  enis,
  securityGroups: [
    { id: 'sg-nodes', intraGroup: true, rules: [{ ...web, peer: { cidr: '203.0.113.0/24' } }] },
    { id: 'sg-closed', intraGroup: false, rules: [web] },
  ],
  eips: [{ public4: '203.0.113.2', private4: '10.0.0.2' }],
  balancers: [],
}
const withEni = (changed: EniView): FabricView => ({ ...initial, enis: enis.map(e => (e.id === changed.id ? changed : e)) })

const placements = () =>
  new Map(Object.entries({ 'i-a': machines.a, 'i-b': machines.b }).map(([i, netns]) => [i, { netns, configurePrimary: true }]))

let fabric: Fabric
let started = false

before(async () => {
  fabric = await Fabric.create(names)
  started = true
  for (const netns of Object.values(machines)) await must(['ip', 'netns', 'add', netns])
  await fabric.place('i-a', { netns: machines.a, configurePrimary: true })
  await fabric.place('i-b', { netns: machines.b, configurePrimary: true })
  await fabric.show(initial)
  await secondaryAddresses(machines.a, '10.0.1.11', '10.0.1.12', 'fd00:5:0:1::11')
  await secondaryAddresses(machines.b, '10.0.1.21', '10.0.1.22', 'fd00:5:0:1::21')
  await Promise.all([listen(machines.a, 80), listen(machines.b, 80), listen(machines.b, 81), listen(names.internet, 80)])
})

after(async () => {
  const ended = children.map(child => new Promise(resolve => child.once('exit', resolve)))
  for (const child of children) child.kill('SIGKILL')
  await Promise.all(ended)
  if (started) await fabric.close()
  for (const netns of Object.values(machines)) await run(['ip', 'netns', 'del', netns])
  const left = await must(['ip', 'netns', 'list'])
  assert.ok(!left.includes(id), `namespaces left behind:\n${left}`)
})

/** What a machine does with a second ENI: up, addresses, and its own routing table for what leaves from there. */
async function secondaryAddresses(netns: string, ...addresses: string[]): Promise<void> {
  await must(['ip', '-n', netns, 'link', 'set', 'dev', 'eth1', 'up'])
  for (const [family, gateway] of [
    [4, '10.0.1.253'],
    [6, 'fd00:5:0:1:ffff:ffff:ffff:fffd'],
  ] as const) {
    const own = addresses.filter(ip => familyOf(ip) === family)
    if (own.length === 0) continue
    const lines = [
      `route add ${gateway} dev eth1 table 1001`,
      `route add default via ${gateway} dev eth1 table 1001`,
      ...own.flatMap(ip => [
        `address add ${asCidr(ip)} dev eth1${family === 6 ? ' nodad' : ''}`,
        `rule add from ${ip} lookup 1001 priority 2048`,
      ]),
    ]
    await must(['ip', `-${family}`, '-n', netns, '-batch', '-'], `${lines.join('\n')}\n`)
  }
}

/** An HTTP server that answers with the client's address. */
async function listen(netns: string, port: number): Promise<void> {
  const [file = '', ...args] = inside(netns, [process.execPath, 'sim/fabric/internet-host.ts', String(port)])
  const child = spawn(file, args, { stdio: ['ignore', 'pipe', 'inherit'] })
  children.push(child)
  await new Promise((resolve, reject) => {
    child.stdout.once('data', resolve)
    child.once('exit', code => reject(new Error(`server in ${netns} ended with ${code}`)))
  })
}

/** GET with a chosen source address: what the server saw, or `refused` when nothing came back in that many milliseconds. */
async function get(netns: string, url: string, source?: string, ms = 60_000): Promise<string> {
  const script = `
    const { get } = await import('node:http')
    const [, url, timeout, localAddress] = process.argv
    const request = get(url, { localAddress, timeout: Number(timeout) }, r => r.on('data', d => process.stdout.write(d)))
    request.on('timeout', () => request.destroy(new Error('timeout')))
    request.on('error', e => process.stdout.write('refused'))`
  const argv = [process.execPath, '--input-type=module', '-e', script, url, `${ms}`, ...(source === undefined ? [] : [source])]
  const ran = await run(inside(netns, argv))
  return ran.stdout.trim()
}

async function refused(netns: string, url: string, source?: string): Promise<boolean> {
  return (await get(netns, url, source, 1200)) === 'refused'
}

test('machines reach each other on primary addresses, both families, with their own source', async () => {
  assert.equal(await get(machines.a, 'http://10.0.0.2/'), '10.0.0.1')
  assert.equal(await get(machines.a, 'http://[fd00:5::2]/'), 'fd00:5::1')
})

test('every next hop of the fabric is a permanent neighbour: it never asks a machine where an address is', async () => {
  for (const family of ['-4', '-6']) {
    const routes = JSON.parse(await must(['ip', family, '-n', names.fabric, '-j', 'route', 'show'])) as { gateway?: string; dev?: string }[]
    const neighbours = JSON.parse(await must(['ip', family, '-n', names.fabric, '-j', 'neigh', 'show', 'nud', 'permanent'])) as {
      dst: string
      dev: string
    }[]
    const permanent = new Set(neighbours.map(n => `${n.dst} ${n.dev}`))
    const hops = routes.filter(r => r.gateway !== undefined).map(r => `${r.gateway} ${r.dev}`)
    assert.ok(hops.length >= 3)
    assert.deepEqual(
      hops.filter(h => !permanent.has(h)),
      [],
    )
  }
})

test('a security group accepts what its rules name and refuses the rest', async () => {
  assert.equal(await get(machines.a, 'http://10.0.1.21/', '10.0.1.11'), '10.0.1.11')
  assert.equal(await get(machines.a, 'http://10.0.1.22/', '10.0.1.12'), '10.0.1.12')
  assert.equal(await refused(machines.a, 'http://10.0.1.21:81/', '10.0.1.11'), true)
  assert.equal(await refused(machines.b, 'http://10.0.1.11/', '10.0.1.21'), true, 'sg-closed is not a member of sg-nodes')
})

test('a new rule opens a port without touching other rules', async () => {
  const open = { ...web, ports: [80, 81] as const }
  await fabric.show({ ...initial, securityGroups: initial.securityGroups.map(g => (g.id === 'sg-closed' ? { ...g, rules: [open] } : g)) })
  assert.equal(await get(machines.a, 'http://10.0.1.21:81/', '10.0.1.11'), '10.0.1.11')
  await fabric.show(initial)
  assert.equal(await refused(machines.a, 'http://10.0.1.21:81/', '10.0.1.11'), true)
})

/** Packets of a family that were dropped for their source. */
async function dropped(family: 4 | 6): Promise<number> {
  const rules = await must(inside(names.fabric, ['nft', 'list', 'chain', 'inet', 'fabric', 'source']))
  const [, packets] = new RegExp(`saddr != @source${family} counter packets (\\d+)`).exec(rules) ?? assert.fail(rules)
  return Number(packets)
}

test('a source that the ENI does not own is dropped while the check is on', async () => {
  await must(['ip', '-n', machines.a, 'address', 'add', '10.0.1.77/32', 'dev', 'eth1'])
  await must(['ip', '-n', machines.a, 'rule', 'add', 'from', '10.0.1.77', 'lookup', '1001', 'priority', '2048'])
  const ping = inside(machines.a, [process.execPath, 'test/kernel/udp-send.ts', '10.0.1.77', '10.0.0.2', '9999'])
  const first = await dropped(4)
  await must(ping)
  await until(async () => (await dropped(4)) > first)
  assert.equal(await dropped(4), first + 1)
  await fabric.show(withEni({ ...eni(3, 'i-a', 'Secondary', 'vsw-1', ['10.0.1.11', '10.0.1.12']), sourceDestCheck: false }))
  await must(ping)
  assert.equal(await dropped(4), first + 1, 'not checked any more')
  await fabric.show(initial)
})

test('IPv6 of a secondary ENI: rules by group and by CIDR, and icmpv6 by a rule of its own', async () => {
  const [from, to] = ['fd00:5:0:1::11', 'fd00:5:0:1::21']
  const ping = async (seconds: number) =>
    (await run(inside(machines.a, ['busybox', 'ping6', '-c', '1', '-W', `${seconds}`, '-I', from, to]))).code === 0
  assert.equal(await get(machines.a, `http://[${to}]/`, from), from)
  assert.equal(await refused(machines.a, `http://[${to}]:81/`, from), true)
  assert.equal(await refused(machines.b, `http://[${from}]/`, to), true, 'sg-closed is not a member of sg-nodes')
  assert.equal(await ping(1), false)
  const peer = { cidr: 'fd00:5::/56' }
  const { ports: _, ...portless } = web
  const rules = [
    { ...web, ports: [80, 81] as const, peer },
    { ...portless, protocol: 'icmpv6' as const, peer },
  ]
  await fabric.show({ ...initial, securityGroups: initial.securityGroups.map(g => (g.id === 'sg-closed' ? { ...g, rules } : g)) })
  assert.equal(await get(machines.a, `http://[${to}]:81/`, from), from)
  assert.equal(await ping(60), true)
  assert.equal(await refused(machines.a, 'http://10.0.1.21/', '10.0.1.11'), true, 'a rule for an IPv6 CIDR lets no IPv4 in')
  await fabric.show(initial)
})

test('an IPv6 source that the ENI does not own is dropped', async () => {
  await must(['ip', '-6', '-n', machines.a, 'address', 'add', 'fd00:5:0:1::77/128', 'dev', 'eth1', 'nodad'])
  await must(['ip', '-6', '-n', machines.a, 'rule', 'add', 'from', 'fd00:5:0:1::77', 'lookup', '1001', 'priority', '2048'])
  const send = (source: string) => must(inside(machines.a, [process.execPath, 'test/kernel/udp-send.ts', source, 'fd00:5::2', '9999']))
  const first = await dropped(6)
  await send('fd00:5:0:1::77')
  await until(async () => (await dropped(6)) > first)
  assert.equal(await dropped(6), first + 1)
  await send('fd00:5:0:1::11')
  assert.equal(await dropped(6), first + 1)
})

test('IPv6 goes to the internet and back without translation, from any ENI whose rules let the internet in', async () => {
  const world = { ...web, peer: { cidr: '2001:db8:113::/48' } }
  await fabric.show({
    ...initial,
    securityGroups: initial.securityGroups.map(g => (g.id === 'sg-nodes' ? { ...g, rules: [...g.rules, world] } : g)),
  })
  assert.equal(await get(machines.a, 'http://[2001:db8:113::254]/'), 'fd00:5::1')
  assert.equal(await get(machines.a, 'http://[2001:db8:113::254]/', 'fd00:5:0:1::11'), 'fd00:5:0:1::11')
  assert.equal(await get(names.internet, 'http://[fd00:5:0:1::11]/'), '2001:db8:113::254')
  assert.equal(await refused(names.internet, 'http://[fd00:5:0:1::21]/'), true, 'sg-closed says nothing of the internet')
  await fabric.show(initial)
})

test('the internet sees the shared SNAT address, or the elastic one', async () => {
  assert.equal(await get(machines.a, 'http://203.0.113.254/'), '203.0.113.1')
  assert.equal(await get(machines.a, 'http://203.0.113.254/', '10.0.1.12'), '203.0.113.1')
  assert.equal(await get(machines.b, 'http://203.0.113.254/'), '203.0.113.2')
  assert.equal(await get(names.internet, 'http://203.0.113.2/'), '203.0.113.254')
  assert.equal(await get(machines.a, 'http://203.0.113.2/'), '203.0.113.1', 'an elastic address of the own VPC, by the internet')
})

const outside = { ...web, peer: { cidr: '0.0.0.0/0' } }
const outside6 = { ...web, peer: { cidr: '::/0' } }
const balanced = (targets: readonly string[]): FabricView => ({
  ...initial,
  securityGroups: initial.securityGroups.map(g => (g.id === 'sg-nodes' ? { ...g, rules: [...g.rules, outside, outside6] } : g)),
  balancers: [
    {
      id: 'nlb-1',
      addresses: ['10.0.0.99', '203.0.113.200', 'fd00:5::99'],
      listeners: [{ protocol: 'tcp', port: 8000, targets: targets.map(ip => ({ ip, port: 80 })) }],
    },
  ],
})

test('a balancer passes connections on to its targets with the address of the client, from inside the VPC and from the internet', async () => {
  await fabric.show(balanced(['10.0.0.2', 'fd00:5::2']))
  assert.equal(await get(machines.a, 'http://10.0.0.99:8000/'), '10.0.0.1')
  assert.equal(await get(machines.a, 'http://[fd00:5::99]:8000/'), 'fd00:5::1')
  assert.equal(await get(names.internet, 'http://203.0.113.200:8000/'), '203.0.113.254')
  assert.equal(await get(names.internet, 'http://[fd00:5::99]:8000/'), '2001:db8:113::254')
  assert.equal(await refused(machines.a, 'http://10.0.0.99:8001/'), true, 'no listener')
  await fabric.show(balanced([]))
  assert.equal(await refused(machines.a, 'http://10.0.0.99:8000/'), true, 'no target')
  assert.equal(await refused(names.internet, 'http://203.0.113.200:8000/'), true, 'no target')
  await fabric.show(initial)
})

test('a connection by a balancer goes on when its target is taken away, and when the engine is another one', async () => {
  await fabric.show(balanced(['10.0.0.2']))
  const script = `
    const socket = (await import('node:net')).connect({ host: '10.0.0.99', port: 8000 })
    socket.on('connect', () => process.stdout.write('connected\\n'))
    socket.on('data', d => { process.stdout.write(String(d)); socket.destroy() })
    process.stdin.once('data', () => socket.write('GET / HTTP/1.0\\r\\n\\r\\n'))`
  const [file = '', ...args] = inside(machines.a, [process.execPath, '--input-type=module', '-e', script])
  const child = spawn(file, args, { stdio: ['pipe', 'pipe', 'inherit'] })
  children.push(child)
  const said = () => new Promise<string>(resolve => child.stdout.once('data', (d: Buffer) => resolve(d.toString())))
  assert.equal(await said(), 'connected\n')
  await fabric.show(balanced([]))
  fabric = await Fabric.adopt(names, balanced([]), placements())
  await fabric.show(balanced([]))
  assert.equal(await refused(machines.a, 'http://10.0.0.99:8000/'), true)
  const answer = said()
  child.stdin.write('go')
  assert.match(await answer, /200 OK/)
  await fabric.show(initial)
  assert.doesNotMatch(await must(['ip', '-n', names.fabric, 'address', 'show', 'dev', 'lo']), /10\.0\.0\.99|203\.0\.113\.200|fd00:5::99/)
})

test('an address moves to another ENI, and a detached ENI vanishes and comes back as the same device', async () => {
  await fabric.show({ ...initial, enis: enis.map(e => (e.id === 'eni-3' ? { ...e, ipv4: ['10.0.1.11'] } : e)) })
  assert.equal(await refused(machines.a, 'http://203.0.113.254/', '10.0.1.12'), true)
  const { instanceId: _, ...detached } = eni(3, 'i-a', 'Secondary', 'vsw-1', ['10.0.1.11', '10.0.1.12'])
  await fabric.show(withEni(detached))
  assert.doesNotMatch(await must(['ip', '-n', machines.a, '-brief', 'link']), /eth1/)
  await fabric.show(initial)
  const link = JSON.parse(await must(['ip', '-n', machines.a, '-j', 'addr', 'show', 'dev', 'eth1'])) as {
    address: string
    operstate: string
    addr_info: unknown[]
  }[]
  assert.deepEqual(
    link.map(l => [l.address, l.operstate, l.addr_info]),
    [['00:16:3e:00:01:03', 'DOWN', []]],
  )
  await must(['ip', '-n', machines.a, 'rule', 'del', 'from', '10.0.1.11'])
  await must(['ip', '-n', machines.a, 'rule', 'del', 'from', '10.0.1.12'])
  await secondaryAddresses(machines.a, '10.0.1.11', '10.0.1.12')
  assert.equal(await get(machines.a, 'http://203.0.113.254/', '10.0.1.12'), '203.0.113.1')
})

test('a device that someone deleted is made again with the next change', async () => {
  await must(['ip', '-n', names.fabric, 'link', 'del', 'dev', 'e00163e000104'])
  await fabric.show({ ...initial, enis: enis.map(e => (e.id === 'eni-4' ? { ...e, ipv4: [...e.ipv4, '10.0.1.23'] } : e)) })
  await until(async () => (await must(['ip', '-n', machines.b, '-brief', 'link'])).includes('eth1'))
  assert.match(await must(['ip', '-n', names.fabric, 'route', 'show', '10.0.1.23']), /e00163e000104/)
  assert.equal(await get(machines.a, 'http://10.0.0.2/'), '10.0.0.1')
})

test('a new engine takes over the namespaces: devices stay, strays go', async () => {
  const index = async () => JSON.parse(await must(['ip', '-n', machines.b, '-j', 'link', 'show', 'dev', 'eth0'])) as { ifindex: number }[]
  const [had] = await index()
  await must(['ip', '-n', names.fabric, 'link', 'add', 'e00163e0001ff', 'type', 'veth', 'peer', 'name', 'x'])
  await must(['ip', '-n', names.fabric, 'route', 'add', '10.0.1.99/32', 'via', '169.254.0.1', 'dev', 'e00163e000103', 'onlink'])
  fabric = await Fabric.adopt(names, initial, placements())
  await fabric.show(initial)
  assert.equal((await index())[0]?.ifindex, had?.ifindex)
  assert.doesNotMatch(await must(['ip', '-n', names.fabric, '-brief', 'link']), /e00163e0001ff/)
  assert.equal(await must(['ip', '-n', names.fabric, 'route', 'show', '10.0.1.99']), '', 'nobody holds this address any more')
  assert.equal(await get(machines.a, 'http://10.0.0.2/'), '10.0.0.1')
  assert.equal(await refused(machines.a, 'http://10.0.1.21:81/', '10.0.1.11'), true)
  assert.equal(await get(machines.b, 'http://203.0.113.254/'), '203.0.113.2')
})

/** A machine moves its eth1 into the namespace of a pod, where it has another name. */
async function moved(machine: string, pod: string): Promise<void> {
  await must(['ip', 'netns', 'add', pod])
  await must(['ip', '-n', machine, 'link', 'set', 'dev', 'eth1', 'down'])
  await must(['ip', '-n', machine, 'link', 'set', 'dev', 'eth1', 'name', 'eth0', 'netns', pod])
  const lines = [
    ...['address add 10.0.1.12/32 dev eth0', 'link set dev eth0 up'],
    ...['route add 10.0.1.253 dev eth0', 'route add default via 10.0.1.253'],
  ]
  await must(['ip', '-n', pod, '-batch', '-'], `${lines.join('\n')}\n`)
}
const devices = (netns: string) => must(['ip', '-n', netns, '-brief', 'link'])
const mac3 = /00:16:3e:00:01:03/
const becomes = async (netns: string, text: RegExp) => {
  await until(async () => text.test(await devices(netns)), `${text} in ${netns}`)
}

test('a device that was moved into the namespace of a pod stays what it is: for the wire, for an engine that takes over, and when it is detached', async () => {
  const pod = `${machines.a}-pod`
  await moved(machines.a, pod)
  assert.equal(await get(pod, 'http://10.0.0.2/'), '10.0.1.12')
  const index = await must(['ip', '-n', pod, '-oneline', 'link', 'show', 'dev', 'eth0'])
  fabric = await Fabric.adopt(names, initial, placements())
  fabric.guard()
  await fabric.show(initial)
  assert.equal(await must(['ip', '-n', pod, '-oneline', 'link', 'show', 'dev', 'eth0']), index)
  assert.doesNotMatch(await devices(machines.a), mac3, 'there is no second one')
  assert.equal(await get(pod, 'http://10.0.0.2/'), '10.0.1.12')
  // Its place among the machine's devices is not given to another one.
  const more = { ...eni(5, 'i-a', 'Secondary', 'vsw-1', ['10.0.1.15']) }
  await fabric.show({ ...initial, enis: [...enis, more] })
  assert.match(await devices(machines.a), /eth2@\S+ .*00:16:3e:00:01:05/)
  const { instanceId: _, ...detached } = eni(3, 'i-a', 'Secondary', 'vsw-1', ['10.0.1.11', '10.0.1.12'])
  await fabric.show(withEni(detached))
  assert.doesNotMatch(await devices(pod), mac3)
  assert.doesNotMatch(await devices(machines.a), mac3)
  await fabric.show(initial)
  await becomes(machines.a, /eth1@\S+ +DOWN +00:16:3e:00:01:03/)
  await must(['ip', 'netns', 'del', pod])
})

test('a device comes back to its machine when the namespace ends that it was moved into', async () => {
  const pod = `${machines.a}-pod`
  await moved(machines.a, pod)
  await must(['ip', 'netns', 'del', pod])
  await becomes(machines.a, /eth1@\S+ +DOWN +00:16:3e:00:01:03/)
  await fabric.show(initial)
  await must(['ip', '-n', machines.a, 'rule', 'del', 'from', '10.0.1.11'])
  await secondaryAddresses(machines.a, '10.0.1.11')
  assert.equal(await get(machines.a, 'http://10.0.0.2/', '10.0.1.11'), '10.0.1.11')
})

test('what cannot be applied is told, hides nothing else, and is made good later', async () => {
  await assert.rejects(fabric.place('i-a', { netns: `${id}-nowhere`, configurePrimary: true }), /nowhere/)
  assert.equal(await get(machines.b, 'http://203.0.113.254/'), '203.0.113.2')
  const rules = await must(inside(names.fabric, ['nft', 'list', 'chain', 'inet', 'fabric', 'in-sg-closed']))
  assert.match(rules, /dport 80 accept/)
  await fabric.place('i-a', { netns: machines.a, configurePrimary: true })
  assert.equal(await get(machines.a, 'http://10.0.0.2/'), '10.0.0.1')
})
