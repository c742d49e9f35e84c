// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { afterEach, beforeEach, test } from 'node:test'
import { programsOf } from '#daemon/programs.ts'
import type { SharedEniAttachment } from '#datapath/attachment.ts'
import { maps } from '#kernel/bpf/maps.ts'
import { mode } from '#kernel/bpf/words.ts'
import { turnOff } from '#kernel/mode.ts'
import { until } from '../support/until.ts'
import { DatapathLab, hostIp4, hostIp6, internet4, internet6, type Probe } from './datapath-lab.ts'
import { nodes, putServices, type TestService } from './datapath-services.ts'
import { Lesson } from './lesson.ts'

/** Nodes change their way of forwarding, their programs and who translates their Services while connections through Services go on. */

const services: readonly TestService[] = [
  { name: 'remote', ips: ['10.96.0.10', 'fd00:96::10'], backends: [internet4, internet6], nodePort: 30010 },
  { name: 'local', ips: ['10.96.0.11', 'fd00:96::11'], backends: ['10.0.2.12', 'fd00:2::12'], local: true, nodePort: 30020 },
  { name: 'self', ips: ['10.96.0.13', 'fd00:96::13'], backends: ['10.0.1.11', 'fd00:1::11'], local: true },
]
const v2 = mode.guard | mode.forward | mode.policy | mode.service

let lab: DatapathLab
let pods: readonly SharedEniAttachment[]
let pod: Probe
let outside: Probe
let own: Probe
beforeEach(async () => {
  lab = await DatapathLab.create('vs', { v2: true })
  pods = [lab.pod(11, { eni: 1, families: [4, 6] }), lab.pod(12, { eni: 2, families: [4, 6] })]
  for (const a of pods) await lab.datapath.setup(a)
  for (const ns of ['gw1', 'pod12']) await lab.probe(ns)
  ;[pod, outside, own] = [await lab.probe('pod11'), await lab.probe('gw0'), await lab.probe('host')]
})
afterEach(() => lab.close())

async function start(from: Probe, hosts: readonly string[], port?: number): Promise<void> {
  for (const to of hosts) {
    assert.equal(await from.beat('tcp', to, 2, port), 'ok', `tcp ${to}`)
    assert.equal(await from.beat('udp', to, 20, port), 'ok', `udp ${to}`)
  }
}

/** Every row has been answered something that was sent from now on. */
async function allGoOn(): Promise<void> {
  for (const probe of [pod, outside, own]) {
    const before = await probe.beats()
    await until(async () => {
      const now = Object.entries(await probe.beats())
      for (const [row, { ended }] of now) assert.equal(ended, '', row)
      return now.every(([row, { echoed }]) => echoed > (before[row]?.sent ?? 0))
    }, 'every row goes on')
  }
}

async function nothingLost(): Promise<void> {
  for (const probe of [pod, outside, own]) {
    await probe.hush()
    await until(async () => Object.values(await probe.beats()).every(({ sent, echoed }) => sent === echoed), 'all is answered')
  }
}

test('between its ways of forwarding, off, by a new process and with new programs: nothing is lost', async () => {
  await lab.datapath.setNode(nodes.regular, [])
  await putServices(lab.kernel, services)
  assert.equal(await lab.mode(), mode.service)
  assert.equal((await lab.datapath.differing(pods)).length, 2)
  for (const a of pods) await lab.datapath.setup(a)
  await start(pod, [...services.flatMap(s => s.ips), internet4, internet6])
  await start(outside, [hostIp4], 30010)
  await start(outside, [hostIp6], 30020)
  await start(own, ['10.96.0.10', 'fd00:96::11'])
  await allGoOn()

  await lab.datapath.setNode({ ...nodes.v2, learn: true }, pods)
  assert.equal(await lab.mode(), v2 | mode.learn)
  await allGoOn()
  await turnOff(lab.kernel)
  assert.equal(await lab.mode(), mode.service)
  assert.deepEqual(await lab.datapath.differing(pods), [])
  assert.equal(await lab.mode(), mode.service, 'a repair leaves it off')
  await allGoOn()
  await lab.datapath.setNode(nodes.v2, pods)
  await allGoOn()

  for (const generation of [undefined, 'bbbbbbbbbbbb']) {
    if (generation !== undefined) lab.upgrade(generation)
    await lab.afterRestart(async datapath => {
      await datapath.setNode(nodes.v2, pods)
      for (const a of pods) await datapath.setup(a)
      assert.equal(await lab.mode(), v2)
      if (generation === undefined) return
      for (const [name, block] of [
        ['pod_in', 0x7e770001],
        ['node_in', 0x7e770004],
      ] as const)
        assert.match(lab.run('host', `tc filter show block ${block}`), new RegExp(`${name}\\.${generation}`))
    })
    await allGoOn()
  }
  await lab.datapath.setNode(nodes.regular, pods)
  assert.equal(await lab.mode(), mode.service)
  await allGoOn()
  await nothingLost()
})

/** As kube-proxy would. */
function translate(): void {
  lab.run('host', 'nft add table ip nat')
  lab.run('host', 'nft add chain ip nat before { type nat hook prerouting priority -100 ; }')
  for (const protocol of ['tcp', 'udp'])
    for (const [ip, to] of [
      ['10.96.0.10', internet4],
      ['10.96.0.11', '10.0.2.12'],
    ])
      lab.run('host', `nft add rule ip nat before ip daddr ${ip} ${protocol} dport 7777-7779 dnat to ${to}`)
}

test('from kube-proxy: what it translates it goes on translating, and a node with pods waits for its Services', async () => {
  translate()
  const ips = ['10.96.0.10', '10.96.0.11']
  const lesson = new Lesson()
  await start(pod, ips)
  await allGoOn()
  await lab.afterRestart(async datapath => {
    await datapath.setNode({ ...nodes.regular, learn: true }, pods)
    assert.equal(await lab.mode(), 0)
    for (const ip of ips) assert.match(await pod.call(ip), / 10\.0\.1\.11$/)
    await allGoOn()
    await putServices(lab.kernel, services)
    await until(async () => ((await lab.mode()) & mode.service) !== 0, 'Services are translated')
    await allGoOn()
    lesson.end()
    await until(async () => (await lab.mode()) === mode.service, 'the learning is over')
    await allGoOn()
    const before = (await lab.counted('paths')).podViaHost ?? 0
    for (const ip of ips) assert.match(await pod.call(ip), / 10\.0\.1\.11$/)
    assert.ok(((await lab.counted('paths')).podViaHost ?? 0) > before, 'new connections are the programs')
    assert.equal(await pod.call('10.96.0.13'), 'pod11 10.96.0.13')
    // Datagrams that never pause leave a backend that goes; they were the host stack's alone until then.
    const other = { backends: ['10.0.2.12', 'fd00:2::12'], local: true }
    await putServices(
      lab.kernel,
      services.map(s => (s.name === 'remote' ? { ...s, ...other } : s)),
    )
    const translated = async () => (await lab.counted('paths')).podViaHost ?? 0
    const sofar = await translated()
    await until(async () => (await translated()) > sofar, 'datagrams go to another backend')
    await allGoOn()
  }, lesson.clock)
})

test("the node's side is told, repaired, and taken away whole", async () => {
  const reserved = () => lab.run('host', 'sysctl -n net.ipv4.ip_local_reserved_ports').trim()
  const joined = () => lab.run('host', 'tc qdisc show dev eth0').includes('clsact')
  const node = async () => maps.node_configs.value.decode((await lab.kernel.mapEntries('node_configs'))[0]?.value ?? Buffer.alloc(48))
  lab.run('host', 'sysctl -w net.ipv4.ip_local_reserved_ports=8080')
  await lab.datapath.setNode(nodes.v2, pods)
  assert.deepEqual([reserved(), joined()], ['8080,61000-61255', true])
  assert.deepEqual([(await node()).address4, (await node()).address6], [hostIp4, hostIp6])

  lab.run('host', 'tc qdisc del dev eth0 clsact')
  lab.run('host', 'ip addr replace 2001:db8:1::11/64 dev eth0 nodad')
  lab.run('host', `ip addr del ${hostIp6}/64 dev eth0`)
  await lab.datapath.differing(pods)
  assert.deepEqual([joined(), (await node()).address6], [true, '2001:db8:1::11'])

  const programs = programsOf(lab.kernel)
  assert.equal(await programs.takenDevice(), undefined)
  lab.run('host', 'tc qdisc del dev eth0 clsact')
  lab.run('host', 'tc qdisc add dev eth0 clsact')
  await lab.datapath.differing(pods)
  assert.equal(await programs.takenDevice(), 'eth0')
  lab.run('host', 'tc qdisc del dev eth0 clsact')
  await lab.datapath.differing(pods)
  assert.deepEqual([await programs.takenDevice(), joined()], [undefined, true])

  const { services: _, ...alone } = nodes.v2
  await lab.datapath.setNode(alone, pods)
  assert.deepEqual([reserved(), joined(), (await node()).natPortLast], ['8080', false, 0])
  await lab.datapath.setNode(nodes.regular, pods)
  await lab.datapath.setNode({ kind: 'veth' }, pods)
  assert.deepEqual([reserved(), joined(), lab.pins()], ['8080', false, []])
})
