// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import type { SharedEniAttachment } from '#datapath/attachment.ts'
import { makeDatapath } from '#datapath/engine.ts'
import type { Datapath } from '#datapath/port.ts'
import { makeKernel } from '#kernel/kernel.ts'
import { formatOp } from '#kernel/op.ts'
import { realClock } from '#lib/clock.ts'
import { silent } from '#lib/log.ts'
import { parseMac } from '#net/mac.ts'
import { until } from '../support/until.ts'
import { DatapathLab, netnsFile, type Probe, port } from './datapath-lab.ts'

/** Damage to a working pod, and the repair: which operations, and that a connection with a heartbeat lives on. */

let lab: DatapathLab
let a: SharedEniAttachment
let pod: Probe
let table: number
let hostMac: string
before(async () => {
  lab = await DatapathLab.create('r')
  table = lab.tableOf(1)
  a = lab.pod(21, { families: [4, 6], more: { egressBytesPerSecond: 12_500_000 } })
  hostMac = (await lab.datapath.setup(a)).hostMac
  await lab.probe('gw1')
  pod = await lab.probe('pod21')
  assert.equal(await pod.say({ cmd: 'beat', host: '198.51.100.1', port }), 'ok')
})
after(() => lab.close())

interface Beats {
  readonly sent: number
  readonly echoed: number
  readonly ended: string
}

/** Waits until a heartbeat sent from now on was echoed. */
async function alive(): Promise<void> {
  const { sent } = await pod.say<Beats>({ cmd: 'beats' })
  await until(async () => {
    const beats = await pod.say<Beats>({ cmd: 'beats' })
    assert.equal(beats.ended, '')
    return beats.echoed > sent
  }, 'a heartbeat is echoed')
}

/** [what is broken, where, by which command, the repair]. `#` stands for the table of the ENI, `cali0` and `MAC` for the host end. */
const matrix: readonly [what: string, ns: string, damage: string, repair: readonly string[]][] = [
  ['rule to the pod', 'host', 'ip rule del priority 512 to 10.0.1.21', ['ip rule add priority 512 to 10.0.1.21/32 lookup main']],
  ['rule from the pod', 'host', 'ip rule del priority 2048 from 10.0.1.21', ['ip rule add priority 2048 from 10.0.1.21/32 lookup #']],
  ['IPv6 rule', 'host', 'ip -6 rule del priority 2048 from fd00:1::21', ['ip -6 rule add priority 2048 from fd00:1::21/128 lookup #']],
  [
    'all rules',
    'host',
    'ip rule del priority 512; ip rule del priority 2048',
    ['ip rule add priority 512 to 10.0.1.21/32 lookup main', 'ip rule add priority 2048 from 10.0.1.21/32 lookup #'],
  ],
  ['host route', 'host', 'ip route del 10.0.1.21', ['ip route replace 10.0.1.21/32 dev cali0 scope link']],
  ['IPv6 host route', 'host', 'ip -6 route del fd00:1::21', ['ip -6 route replace fd00:1::21/128 dev cali0 scope link']],
  ['table of the ENI', 'host', 'ip route flush table #', ['ip route replace default via 10.0.1.253 dev eth1 table # onlink']],
  ['IPv6 table of the ENI', 'host', 'ip -6 route flush table #', ['ip -6 route replace default via fd00:1::fd dev eth1 table # onlink']],
  [
    'address of the ENI',
    'host',
    'ip addr del 192.0.2.10/32 dev eth1',
    // The kernel drops every IPv4 route of a device that loses its last address.
    ['ip addr add 192.0.2.10/32 dev eth1', 'ip route replace default via 10.0.1.253 dev eth1 table # onlink'],
  ],
  [
    'ENI down',
    'host',
    'ip link set eth1 down',
    [
      'ip addr add 2001:db8:1::10/128 dev eth1 nodad',
      'ip link set eth1 up',
      'ip route replace default via 10.0.1.253 dev eth1 table # onlink',
      'ip -6 route append fd00:1::fd/128 dev eth1 scope link',
      'ip -6 route replace default via fd00:1::fd dev eth1 table # onlink',
    ],
  ],
  [
    'gateway route of the ENI',
    'host',
    'ip -6 route del fd00:1::fd/128 dev eth1',
    ['ip -6 route append fd00:1::fd/128 dev eth1 scope link'],
  ],
  [
    'autoconfiguration of the ENI',
    'host',
    'sysctl -w net.ipv6.conf.eth1.accept_ra=1 net.ipv6.conf.eth1.accept_dad=1',
    ['sysctl -w net.ipv6.conf.eth1.accept_ra=0', 'sysctl -w net.ipv6.conf.eth1.accept_dad=0'],
  ],
  [
    'host end down',
    'host',
    'ip link set cali0 down',
    [
      'ip link set cali0 up',
      'ip route replace 10.0.1.21/32 dev cali0 scope link',
      'ip -6 route replace fd00:1::21/128 dev cali0 scope link',
    ],
  ],
  ['MTU of the host end', 'host', 'ip link set cali0 mtu 1400', ['ip link set cali0 mtu 1500']],
  ['MTU of the ENI', 'host', 'ip link set eth1 mtu 1400', ['ip link set eth1 mtu 1500']],
  [
    "reverse path filter of the node's own interface",
    'host',
    'sysctl -w net.ipv4.conf.eth0.rp_filter=1',
    ['sysctl -w net.ipv4.conf.eth0.rp_filter=0'],
  ],
  ['reverse path filter', 'host', 'sysctl -w net.ipv4.conf.cali0.rp_filter=1', ['sysctl -w net.ipv4.conf.cali0.rp_filter=0']],
  ['pod address', 'pod21', 'ip addr add 10.0.1.99/32 dev eth0', ['pod# ip addr del 10.0.1.99/32 dev eth0']],
  ['pod route', 'pod21', 'ip route del default', ['pod# ip route replace default via 169.254.1.1 dev eth0 onlink']],
  [
    'IPv6 pod address',
    'pod21',
    'ip addr del fd00:1::21/128 dev eth0; ip addr add fd00:1::99/128 dev eth0 nodad',
    ['pod# ip addr add fd00:1::21/128 dev eth0 nodad', 'pod# ip addr del fd00:1::99/128 dev eth0'],
  ],
  ['IPv6 pod route', 'pod21', 'ip -6 route del default', ['pod# ip -6 route replace default via fe80::1 dev eth0 onlink']],
  [
    'IPv6 of the pod',
    'pod21',
    'sysctl -w net.ipv6.conf.eth0.disable_ipv6=1',
    [
      'pod# sysctl -w net.ipv6.conf.eth0.disable_ipv6=0',
      'pod# ip addr add fd00:1::21/128 dev eth0 nodad',
      'pod# ip -6 neigh replace fe80::1 lladdr MAC dev eth0 nud permanent',
      'pod# ip -6 route replace default via fe80::1 dev eth0 onlink',
    ],
  ],
  [
    'pod queue',
    'pod21',
    'tc qdisc del dev eth0 root',
    ['pod# tc qdisc replace dev eth0 root handle 1: tbf rate 12500000bps burst 12500 limit 325000'],
  ],
]

for (const [what, ns, damage, repair] of matrix) {
  test(`damage to ${what} is repaired, exactly it, under a living connection`, async () => {
    const local = (line: string) => line.replaceAll('#', String(table)).replaceAll('cali0', a.hostIfName)
    await alive()
    assert.deepEqual(await lab.datapath.diff(a), [])
    for (const command of local(damage).split('; ')) lab.run(ns, command)
    const wanted = repair.map(line =>
      line.startsWith('pod# ') ? `nsenter --net=${a.netns} ${line.slice(5).replace('MAC', hostMac)}` : local(line),
    )
    assert.deepEqual((await lab.datapath.diff(a)).map(formatOp), wanted, 'CHECK says what is broken')
    assert.deepEqual(await lab.datapath.differing([a]), [a])
    assert.deepEqual((await lab.datapath.setup(a)).ops.map(formatOp), wanted)
    assert.deepEqual(await lab.datapath.differing([a]), [])
    assert.deepEqual(await lab.datapath.diff(a), [])
    await alive()
  })
}

/** Counts how often the datapath is told of changes to what is not `marked`, once it is told of any. */
class Told {
  #count = 0
  #marks = 0
  readonly #marked: SharedEniAttachment | undefined

  private constructor(datapath: Datapath, marked: SharedEniAttachment | undefined) {
    this.#marked = marked
    datapath.onChange(named => {
      if (marked !== undefined && named.includes(marked.hostIfName)) this.#marks++
      if (named.length === 0 || named.some(name => name !== marked?.hostIfName)) this.#count++
    })
  }

  static async of(datapath: Datapath, marked?: SharedEniAttachment): Promise<Told> {
    const told = new Told(datapath, marked)
    // With its beginning a watch says that it does not know what was before.
    await until(() => told.#count > 0, 'the watch is on')
    return told
  }

  get count(): number {
    return this.#count
  }

  /** What happened before is told before these changes are. */
  async all(): Promise<number> {
    for (const change of ['add', 'del']) {
      const before = this.#marks
      lab.run('host', `ip rule ${change} priority 512 to ${this.#marked?.v4?.address} lookup 100`)
      await until(() => this.#marks > before, 'the mark is told')
    }
    return this.#count
  }
}

test('the device of a pod that a predecessor set up is watched once the pod was compared, also after a failed setup', async () => {
  // Without IPv6, whose routes the kernel tells of when a device goes down.
  const b = lab.pod(23)
  await lab.datapath.setup(b)
  const kernel = await makeKernel({ hostNetns: netnsFile(`${lab.prefix}-host`) })
  const datapath = makeDatapath(kernel, { clock: realClock, log: silent })
  try {
    assert.deepEqual(await datapath.differing([b]), [])
    await assert.rejects(datapath.setup({ ...b, eni: { ...b.eni, mac: parseMac('00:16:3e:00:00:77') } }), { code: 'eni-absent' })
    const told = await Told.of(datapath)
    const before = told.count
    lab.run('host', `ip link set ${b.hostIfName} down`)
    await until(() => told.count > before, 'the change is told')
    assert.deepEqual(await datapath.differing([b]), [b])
    assert.equal((await datapath.setup(b)).ops.length, 2)
  } finally {
    await datapath.close()
  }
})

test('many are compared at once: who is broken is said, and whose namespace is gone is left out', async () => {
  const pods = Array.from({ length: 40 }, (_, i) => lab.pod(30 + i, { families: i % 2 === 0 ? [4] : [4, 6] }))
  await Promise.all(pods.map(p => lab.datapath.setup(p)))
  const [gone, broken, bare, dying] = pods.toSpliced(0, 15)
  assert.ok(gone && broken && bare && dying)
  lab.removeNetns('pod45')
  lab.run('pod46', 'ip neigh del 169.254.1.1 dev eth0')
  lab.run('pod47', 'ip route del default')
  const foreign = { ...lab.pod(29), eni: { ...a.eni, mac: parseMac('00:16:3e:00:00:77') } }
  assert.deepEqual(await lab.datapath.differing([...pods, foreign]), [broken, bare, foreign])
  // A comparison that comes late must not keep the device of a pod from the reaper.
  await lab.datapath.withdraw(dying)
  assert.deepEqual(await lab.datapath.differing([dying]), [dying])
  await lab.datapath.reap([dying.hostIfName])
  assert.doesNotMatch(lab.run('host', 'ip link'), new RegExp(dying.hostIfName))
  await Promise.all(pods.map(p => lab.datapath.withdraw(p)))
  await lab.datapath.reap(pods.map(p => p.hostIfName))
})

test('a neighbour that the pod lost is repaired under a living connection', async () => {
  lab.run('pod21', 'ip neigh del 169.254.1.1 dev eth0')
  const { ops } = await lab.datapath.setup(a)
  assert.deepEqual(
    ops.map(o => o.op),
    ['neigh-replace'],
  )
  await alive()
})

test('foreign rules of our priorities and foreign routes stay', async () => {
  const foreign = [
    'priority 512 to 10.0.1.21 lookup 100',
    'priority 2048 from 10.0.1.21 iif lo lookup 1003',
    'priority 512 fwmark 0x5 lookup main',
  ]
  for (const rule of foreign) lab.run('host', `ip rule add ${rule}`)
  lab.run('host', 'ip route add 10.0.1.21/32 via 192.0.2.1 table 100')
  assert.deepEqual(await lab.datapath.diff(a), [])
  await lab.datapath.withdraw(a)
  const rules = lab.run('host', 'ip rule')
  for (const rule of ['to 10.0.1.21 lookup 100', 'from 10.0.1.21 iif lo lookup 1003', 'fwmark 0x5']) assert.ok(rules.includes(rule), rule)
  assert.match(lab.run('host', 'ip route show table 100'), /10\.0\.1\.21 via 192\.0\.2\.1/)
  for (const rule of foreign) lab.run('host', `ip rule del ${rule}`)
  assert.equal((await lab.datapath.setup(a)).ops.length, 6, 'two rules and one route per family')
  await alive()
})

test('changes by others are told, our own are not', async () => {
  const [b, marked] = [lab.pod(22), lab.pod(28)]
  await lab.datapath.setup(marked)
  const told = await Told.of(lab.datapath, marked)
  const before = await told.all()
  await lab.datapath.setup(b)
  assert.equal(await told.all(), before, 'a setup of our own is not a change')
  lab.run('host', 'ip route add 203.0.113.0/24 via 192.0.2.1')
  lab.run('host', 'ip addr add 192.0.2.77/24 dev eth0')
  assert.equal(await told.all(), before, 'nothing of ours')
  await lab.datapath.withdraw(b)
  await lab.datapath.reap([b.hostIfName])
  assert.equal(await told.all(), before, 'a teardown of our own is not a change')
  await lab.datapath.setup(b)
  for (const damage of [
    'ip rule del priority 512 to 10.0.1.22',
    'ip route del 10.0.1.22',
    `ip route flush table ${table}`,
    `ip link set ${b.hostIfName} down`,
  ]) {
    const seen = await told.all()
    lab.run('host', damage)
    await until(() => told.count > seen, damage)
  }
})
