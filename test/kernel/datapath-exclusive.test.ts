// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { join } from 'node:path'
import { after, before, type TestContext, test } from 'node:test'
import type { ExclusiveEniAttachment } from '#datapath/attachment.ts'
import type { Datapath } from '#datapath/port.ts'
import { parseIfName } from '#kernel/names.ts'
import { formatOp } from '#kernel/op.ts'
import { parseCidr } from '#net/cidr.ts'
import { parseMac } from '#net/mac.ts'
import { until } from '../support/until.ts'
import { DatapathLab, hostIp4, hostIp6, internet4, internet6, type Probe } from './datapath-lab.ts'

/** Pods that have an ENI for themselves, with packets: its device goes into the pod and comes back. */

let lab: DatapathLab
let host: Probe
let gateway: Probe
before(async () => {
  lab = await DatapathLab.create('e')
  host = await lab.probe('host')
  gateway = await lab.probe('gw1')
  await lab.probe('gw2')
})
after(() => lab.close())

/** A pod that has its network, and is taken down after the test. */
async function running(t: TestContext, ...of: Parameters<DatapathLab['exclusive']>): Promise<ExclusiveEniAttachment> {
  const a = lab.exclusive(...of)
  t.after(() => remove(lab.datapath, a))
  await lab.datapath.setup(a)
  return a
}

/** Tears pods down as DEL does, and proves that their ENIs are back and nothing else is left. */
async function remove(datapath: Datapath, ...all: ExclusiveEniAttachment[]): Promise<void> {
  for (const a of all) await datapath.withdraw(a)
  const { remaining } = await datapath.reap(all.map(a => a.hostIfName))
  assert.deepEqual(remaining, [])
  const left = await datapath.inventory(all.map(a => a.netns))
  const ours = [...left.hostLinks.map(l => l.name), ...left.routes.map(l => l.dev)].filter(name => all.some(a => a.hostIfName === name))
  assert.deepEqual([ours, left.enis, left.rules], [[], undefined, []])
  for (const a of all) {
    const line = homeOf(a)
    assert.match(line, / state DOWN /)
    assert.doesNotMatch(line, /alias/)
    assert.deepEqual(await datapath.withdraw(a), undefined, 'again: nothing to do')
    // Called as before, for the next test.
    const [name, right] = [/^\d+: ([^@]+)/.exec(line)?.[1], a.eni.eniId.replace('eni-', 'eth')]
    if (name !== right) lab.run('host', `ip link set ${name} name ${right}`)
  }
}

/** The one line by which the host shows the ENI's device; '' = it is not there. */
function homeOf({ eni }: ExclusiveEniAttachment): string {
  const lines = lab.run('host', 'ip -o link show').split('\n')
  const [line = '', ...more] = lines.filter(l => l.includes(` ${eni.mac} `))
  assert.deepEqual(more, [])
  return line
}

const inside = (n: number, command: string) => lab.run(`pod${n}`, command)
const deviceIn = (n: number) => JSON.parse(inside(n, 'ip -j link show eth0'))[0]

test('a pod talks to the VPC by its own ENI and to its node by the pair, in both families', async t => {
  const a = await running(t, 31, { families: [4, 6] })
  assert.equal(homeOf(a), '', 'the device left the host')
  assert.equal(deviceIn(31).address, a.eni.mac)
  assert.deepEqual((await lab.datapath.setup(a)).ops, [], 'a second setup does nothing')
  assert.deepEqual(await lab.datapath.diff(a), [])
  assert.deepEqual(await lab.datapath.differing([a]), [])
  const pod = await lab.probe('pod31')
  const forwarded = lab.forwarded()
  assert.equal(await pod.ask(internet4), 'gw1 10.0.1.31')
  assert.equal(await pod.ask(internet6), 'gw1 fd00:1::31')
  assert.equal(await pod.call(internet4), 'gw1 10.0.1.31')
  assert.equal(await gateway.ask('10.0.1.31'), 'pod31 10.0.1.253')
  assert.equal(await gateway.call('fd00:1::31'), 'pod31 fd00:1::fd')
  assert.equal(lab.forwarded(), forwarded, 'nothing of it passes the host')
  assert.equal(await host.ask('10.0.1.31'), `pod31 ${hostIp4}`)
  assert.equal(await host.call('fd00:1::31'), `pod31 ${hostIp6}`)
  assert.equal(await pod.call(hostIp4), 'host 10.0.1.31')
  assert.equal(await pod.ask(hostIp6), 'host fd00:1::31')
})

test('two pods of a node reach each other by the VPC; what is for the host stack goes there', async t => {
  await running(t, 32, { families: [4] })
  await running(t, 33, { eni: 2, families: [4] })
  const [a, b] = [await lab.probe('pod32'), await lab.probe('pod33')]
  // The VPC between the two vSwitches.
  for (const [gw, to, ip, far] of [
    ['gw1', 'gw2', '192.168.99.1', '10.0.2.33'],
    ['gw2', 'gw1', '192.168.99.2', '10.0.1.32'],
  ] as const) {
    if (gw === 'gw1') lab.run('gw1', `ip link add vpc type veth peer name vpc netns ${lab.prefix}-gw2`)
    lab.run(gw, `ip addr add ${ip}/30 dev vpc`)
    lab.run(gw, 'ip link set vpc up')
    lab.run(gw, 'sysctl -w net.ipv4.ip_forward=1')
    lab.run(gw, `ip route add ${far} via ${to === 'gw2' ? '192.168.99.2' : '192.168.99.1'}`)
  }
  assert.equal(await a.ask('10.0.2.33'), 'pod33 10.0.1.32')
  assert.equal(await b.call('10.0.1.32'), 'pod32 10.0.2.33')
  for (const service of ['10.96.0.10', '203.0.113.7']) {
    lab.run('host', `ip addr add ${service}/32 dev lo`)
    assert.equal(await a.ask(service), 'host 10.0.1.32')
    lab.run('host', `ip addr del ${service}/32 dev lo`)
  }
})

test("what the node sends by the VPC is answered by the pair: no filter of the pod's minds", async t => {
  const a = lab.exclusive(34)
  t.after(() => remove(lab.datapath, a))
  inside(34, 'sysctl -w net.ipv4.conf.all.rp_filter=1 net.ipv4.conf.default.rp_filter=1')
  await lab.datapath.setup(a)
  lab.run('gw1', `ip addr add ${hostIp4}/32 dev lo`)
  const filtered = () => inside(34, 'nstat -asz TcpExtIPReversePathFilter').trim().split('\n').at(-1)
  const before = filtered()
  lab.run('gw1', `${process.execPath} ${join(import.meta.dirname, 'udp-send.ts')} ${hostIp4} 10.0.1.34 7000`)
  lab.run('gw1', `ip addr del ${hostIp4}/32 dev lo`)
  assert.equal(filtered(), before)
})

test('extra routes lead to the gateway of the subnet, without a default route', async t => {
  const extraRoutes = [parseCidr('198.51.100.0/24'), parseCidr('2001:db8:ffff::/48')]
  await running(t, 35, { families: [4, 6], more: { defaultRoute: false, extraRoutes } })
  const pod = await lab.probe('pod35')
  assert.equal(await pod.ask(internet4), 'gw1 10.0.1.35')
  assert.equal(await pod.ask(internet6), 'gw1 fd00:1::35')
  assert.doesNotMatch(inside(35, 'ip route') + inside(35, 'ip -6 route'), /default/)
})

test('without the host peer the host has nothing of the pod, and the pod nothing of the host', async t => {
  const a = await running(t, 36, { families: [4, 6], more: { hostPeer: false } })
  assert.deepEqual(await lab.datapath.diff(a), [])
  const pod = await lab.probe('pod36')
  assert.equal(await pod.ask(internet6), 'gw1 fd00:1::36')
  assert.equal(inside(36, 'ip -o link show').trim().split('\n').length, 2, 'lo and eth0')
  assert.deepEqual((await lab.datapath.inventory()).hostLinks, [])
})

test('egress is shaped on the ENI; a pod without IPv6 takes nothing from advertisements', async t => {
  const a = await running(t, 37, { more: { egressBytesPerSecond: 1_250_000 } })
  assert.match(inside(37, 'tc qdisc show dev eth0'), /tbf 1: root .* rate 10Mbit burst 3000b lat 25ms/)
  assert.match(inside(37, 'sysctl net.ipv6.conf.eth0.accept_ra'), /= 0$/m)
  assert.deepEqual(await lab.datapath.diff(a), [])
})

test('an ENI that is not on the node is named by its MAC; an interface of somebody else stays', async () => {
  const mac = parseMac('00:16:3e:00:00:77')
  await assert.rejects(lab.datapath.setup({ ...lab.exclusive(38), eni: { ...lab.eni(1), mac } }), {
    code: 'eni-absent',
    message: /00:16:3e:00:00:77/,
  })
  const a = lab.exclusive(39)
  inside(39, 'ip link add eth0 type veth')
  await assert.rejects(lab.datapath.setup(a), { code: 'pod-interface-taken' })
  assert.match(homeOf(a), /: eth1@/)
  inside(39, 'ip link del eth0')
  inside(39, 'ip link add veth1 type veth')
  await assert.rejects(lab.datapath.setup(a), { code: 'pod-interface-taken', message: /veth1/ })
  assert.match(homeOf(a), /: eth1@/)
})

/** [what is broken, where, by which command, the repair]. `cali0` and `MAC` stand for the host end, `pod#` for being in the pod. */
const matrix: readonly [what: string, ns: 'host' | 'pod', damage: string, repair: readonly string[]][] = [
  ['host route', 'host', 'ip route del 10.0.1.41', ['ip route replace 10.0.1.41/32 dev cali0 scope link']],
  ['reverse path filter', 'host', 'sysctl -w net.ipv4.conf.eth0.rp_filter=1', ['sysctl -w net.ipv4.conf.eth0.rp_filter=0']],
  [
    'host end down',
    'host',
    'ip link set cali0 down',
    [
      'ip link set cali0 up',
      'ip route replace 10.0.1.41/32 dev cali0 scope link',
      'ip -6 route replace fd00:1::41/128 dev cali0 scope link',
    ],
  ],
  [
    'an address that comes to the node',
    'host',
    'ip addr add 192.0.2.99/32 dev eth0',
    ['pod# ip route replace 192.0.2.99/32 via 169.254.1.1 dev veth1 onlink'],
  ],
  ['an address that goes', 'host', 'ip addr del 192.0.2.99/32 dev eth0', ['pod# ip route del 192.0.2.99/32 via 169.254.1.1 dev veth1']],
  ['address', 'pod', 'ip addr add 10.0.1.99/32 dev eth0', ['pod# ip addr del 10.0.1.99/32 dev eth0']],
  ['default route', 'pod', 'ip route del default', ['pod# ip route replace default via 10.0.1.253 dev eth0 onlink']],
  [
    'IPv6 gateway',
    'pod',
    'ip -6 route del default; ip -6 route del fd00:1::fd',
    ['pod# ip -6 route replace fd00:1::fd/128 dev eth0 scope link', 'pod# ip -6 route replace default via fd00:1::fd dev eth0 onlink'],
  ],
  ['route of Services', 'pod', 'ip route del 10.96.0.0/16', ['pod# ip route replace 10.96.0.0/16 via 169.254.1.1 dev veth1 onlink']],
  [
    'neighbours',
    'pod',
    'ip neigh del 169.254.1.1 dev veth1; ip neigh del fe80::1 dev veth1',
    [
      'pod# ip neigh replace 169.254.1.1 lladdr MAC dev veth1 nud permanent',
      'pod# ip -6 neigh replace fe80::1 lladdr MAC dev veth1 nud permanent',
    ],
  ],
  ['MTU', 'pod', 'ip link set eth0 mtu 9000', ['pod# ip link set eth0 mtu 1500']],
  [
    'queue',
    'pod',
    'tc qdisc del dev eth0 root',
    ['pod# tc qdisc replace dev eth0 root handle 1: tbf rate 12500000bps burst 12500 limit 325000'],
  ],
  [
    'device down',
    'pod',
    'ip link set eth0 down',
    [
      'pod# ip addr add fd00:1::41/128 dev eth0 nodad',
      'pod# ip link set eth0 up',
      'pod# ip route replace default via 10.0.1.253 dev eth0 onlink',
      'pod# ip -6 route replace fd00:1::fd/128 dev eth0 scope link',
      'pod# ip -6 route replace default via fd00:1::fd dev eth0 onlink',
    ],
  ],
  ['mark', 'pod', 'ip link set eth0 alias something', ['pod# ip link set eth0 alias terway:container-41/eni00163e000001']],
]

test('every damage is repaired, exactly it', async t => {
  const a = lab.exclusive(41, { families: [4, 6], more: { egressBytesPerSecond: 12_500_000 } })
  t.after(() => remove(lab.datapath, a))
  const { hostMac } = await lab.datapath.setup(a)
  const pod = await lab.probe('pod41')
  for (const [what, ns, damage, repair] of matrix) {
    await t.test(what, async () => {
      for (const command of damage.split('; ')) lab.run(ns === 'pod' ? 'pod41' : 'host', command.replace('cali0', a.hostIfName))
      const told = (await lab.datapath.diff(a))
        .map(formatOp)
        .map(line => line.replace(`nsenter --net=${a.netns}`, 'pod#').replaceAll(a.hostIfName, 'cali0').replace(hostMac, 'MAC'))
      assert.deepEqual(told, repair, 'CHECK says what is broken')
      assert.deepEqual(await lab.datapath.differing([a]), [a])
      assert.equal((await lab.datapath.setup(a)).ops.length, repair.length)
      assert.deepEqual(await lab.datapath.diff(a), [])
      for (const to of [internet4, internet6]) assert.match(await pod.ask(to), /^gw1 /)
      for (const to of ['10.0.1.41', 'fd00:1::41']) assert.match(await host.ask(to), /^pod41 /)
    })
  }
})

test("a change of the node's addresses is told, since pods have routes to them", async t => {
  await running(t, 55)
  let told = 0
  t.after(lab.datapath.onChange(() => told++))
  // Once it is told that everything may have changed before.
  await until(() => {
    for (const verb of ['add', 'del']) lab.run('host', `ip addr ${verb} 192.0.2.98/32 dev eth0`)
    return told > 2
  }, 'it is told again and again')
})

test('damage to devices is repaired: renamed, taken out, its pair gone', async t => {
  const a = await running(t, 42, { families: [4, 6] })
  const pod = await lab.probe('pod42')
  const cases: readonly [what: string, ns: string, commands: readonly string[]][] = [
    ['renamed', 'pod42', ['down', 'name other0', 'up'].map(change => `ip link set ${change === 'up' ? 'other0' : 'eth0'} ${change}`)],
    ['renamed, and its mark gone', 'pod42', ['ip link set eth0 down', 'ip link set eth0 name other0 alias x']],
    ['taken to the host', 'pod42', [`ip link set eth0 netns ${lab.prefix}-host name eth5`]],
    ['pair gone', 'host', [`ip link del ${a.hostIfName}`]],
  ]
  for (const [what, ns, commands] of cases) {
    await t.test(what, async () => {
      for (const command of commands) lab.run(ns, command)
      assert.notDeepEqual(await lab.datapath.diff(a), [])
      assert.deepEqual(await lab.datapath.differing([a]), [a])
      await lab.datapath.setup(a)
      assert.deepEqual(await lab.datapath.diff(a), [])
      for (const to of [internet4, internet6]) assert.match(await pod.ask(to), /^gw1 /)
      for (const to of ['10.0.1.42', 'fd00:1::42']) assert.match(await host.ask(to), /^pod42 /)
    })
  }
})

test('two ENIs that somebody swapped between two pods go back, each to its own', async t => {
  const [a, b] = [await running(t, 43), await running(t, 44, { eni: 2 })]
  const [podA, podB] = [await lab.probe('pod43'), await lab.probe('pod44')]
  inside(43, `ip link set eth0 netns ${lab.prefix}-pod44 name swapped`)
  inside(44, `ip link set eth0 netns ${lab.prefix}-pod43 name eth0`)
  inside(44, 'ip link set swapped name eth0')
  assert.deepEqual(await lab.datapath.differing([a, b]), [a, b])
  await Promise.all([lab.datapath.setup(a), lab.datapath.setup(b)])
  assert.deepEqual([await lab.datapath.diff(a), await lab.datapath.diff(b)], [[], []])
  assert.equal(await podA.ask(internet4), 'gw1 10.0.1.43')
  assert.equal(await podB.ask(internet4), 'gw2 10.0.2.44')
})

test('an ENI that was taken to another pod comes home from there when its own pod ends', async t => {
  const [a, b] = [await running(t, 45), await running(t, 46, { eni: 2 })]
  inside(45, `ip link set eth0 netns ${lab.prefix}-pod46 name guest`)
  await lab.datapath.withdraw(a)
  assert.match(homeOf(a), /: eth1@/)
  assert.deepEqual(await lab.datapath.diff(b), [])
})

test('a former name that is taken meanwhile is not taken back', async () => {
  const a = lab.exclusive(47)
  await lab.datapath.setup(a)
  lab.run('host', 'ip link add eth1 type veth')
  await lab.datapath.withdraw(a)
  assert.match(homeOf(a), /: eni00163e000001@/)
  lab.run('host', 'ip link del eth1')
  lab.run('host', 'ip link set eni00163e000001 name eth1')
  await lab.datapath.reap([a.hostIfName])
})

test('a sandbox that follows another gets the same ENI; a late DEL of the first spares it', async t => {
  const old = lab.exclusive(48)
  await lab.datapath.setup(old)
  await lab.datapath.withdraw(old)
  const young = { ...lab.exclusive(49), hostIfName: old.hostIfName, ...(old.v4 && { v4: old.v4 }) }
  t.after(() => remove(lab.datapath, young))
  await lab.datapath.setup(young)
  await lab.datapath.withdraw(old)
  assert.deepEqual(await lab.datapath.reap([old.hostIfName]), { gone: [old.hostIfName], remaining: [] })
  assert.deepEqual(await lab.datapath.diff(young), [])
})

test('an ENI in a namespace that no lease accounts for goes home; a live one stays', async t => {
  const [a, b] = [await running(t, 51), await running(t, 52, { eni: 2 })]
  await lab.afterRestart(async datapath => {
    const all = await datapath.inventory([a.netns, b.netns])
    const eni = (of: ExclusiveEniAttachment, home: string) => ({
      netns: of.netns,
      dev: parseIfName('eth0'),
      mac: of.eni.mac,
      mtu: 1500,
      owner: of.containerId,
      home: parseIfName(home),
    })
    assert.deepEqual(all.enis, [eni(a, 'eth1'), eni(b, 'eth2')])
    assert.deepEqual(
      all.hostLinks.map(l => l.netns),
      [a.netns, b.netns],
    )
    assert.deepEqual(await datapath.differing([b]), [], 'b is live by that')
    await datapath.removeLeftovers(all)
    assert.match(homeOf(a), /: eth1@/)
    assert.deepEqual(await datapath.diff(b), [])
  })
})

test('killed after any operation of an ADD: the next process completes it or takes it back', async () => {
  const a = lab.exclusive(53, { families: [4, 6] })
  const ops = await lab.datapath.diff(a)
  assert.deepEqual(
    ops.slice(0, 3).map(o => o.op),
    ['link-set', 'link-move', 'veth-add'],
  )
  for (let n = 1; n <= ops.length; n++) {
    assert.equal((await lab.kernel.apply(ops.slice(0, n))).failed, undefined)
    await lab.afterRestart(async datapath => {
      if (n % 2 === 0) await datapath.removeLeftovers(await datapath.inventory([a.netns]))
      else {
        await datapath.setup(a)
        assert.deepEqual(await datapath.diff(a), [], `completed after ${n}`)
      }
      await remove(datapath, a)
    })
  }
})

test('a namespace that is gone took the device along where it is no real one; withdrawing and reaping work without it', async () => {
  const a = lab.exclusive(54, { eni: 3 })
  await lab.datapath.setup(a)
  lab.removeNetns('pod54')
  await assert.rejects(lab.datapath.setup(a), { code: 'netns-gone' })
  await assert.rejects(lab.datapath.diff(a), { code: 'netns-gone' })
  assert.deepEqual(await lab.datapath.differing([a]), [])
  await lab.datapath.withdraw(a)
  assert.deepEqual((await lab.datapath.reap([a.hostIfName])).remaining, [])
  assert.deepEqual(await lab.datapath.inventory(), { hostLinks: [], rules: [], routes: [] })
})
