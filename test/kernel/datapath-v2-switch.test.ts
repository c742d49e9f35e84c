// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { afterEach, beforeEach, test } from 'node:test'
import type { SharedEniAttachment } from '#datapath/attachment.ts'
import type { Datapath } from '#datapath/port.ts'
import { maps } from '#kernel/bpf/maps.ts'
import { mode } from '#kernel/bpf/words.ts'
import type { Kernel } from '#kernel/port.ts'
import { until } from '../support/until.ts'
import { DatapathLab, hostIp4, internet4, internet6, type Probe, v2 } from './datapath-lab.ts'
import { Lesson } from './lesson.ts'

/**
 * A node is switched between its two ways of forwarding while connections (a beat each millisecond) and datagrams go on, directly and through
 * translations as kube-proxy makes them: Services with a backend elsewhere and with one on the node, and a port of the node.
 */

const service = { remote4: '10.96.0.10', local4: '10.96.0.11', remote6: 'fd00:96::10', local6: 'fd00:96::11' }
const direct = [internet4, internet6, '10.0.2.12', 'fd00:2::12']

let lab: DatapathLab
let a: SharedEniAttachment
let b: SharedEniAttachment
let pod: Probe
let host: Probe
let outside: Probe
/** Who stand behind the translations. */
let speakers: readonly Probe[]
beforeEach(async () => {
  lab = await DatapathLab.create('vw', { v2: true })
  a = lab.pod(11, { eni: 1, families: [4, 6] })
  b = lab.pod(12, { eni: 2, families: [4, 6] })
  await lab.datapath.setup(a)
  await lab.datapath.setup(b)
  translate()
  speakers = [await lab.probe('gw1'), await lab.probe('pod12')]
  outside = await lab.probe('gw0')
  host = await lab.probe('host')
  pod = await lab.probe('pod11')
})
afterEach(() => lab.close())

function translate(): void {
  for (const family of ['ip', 'ip6']) {
    lab.run('host', `nft add table ${family} nat`)
    lab.run('host', `nft add chain ${family} nat before { type nat hook prerouting priority -100 ; }`)
  }
  const rule = (family: string, match: string, to: string) => {
    for (const protocol of ['tcp', 'udp'])
      lab.run('host', `nft add rule ${family} nat before ${match} ${protocol} dport 7777-7778 dnat to ${to}`)
  }
  rule('ip', `ip daddr ${service.remote4}`, internet4)
  rule('ip', `ip daddr ${service.local4}`, '10.0.2.12')
  rule('ip6', `ip6 daddr ${service.remote6}`, internet6)
  rule('ip6', `ip6 daddr ${service.local6}`, 'fd00:2::12')
  rule('ip', `iifname eth0 ip daddr ${hostIp4}`, '10.0.2.12')
  // What is translated back to who asked leaves by the node's own device, not by the pod's ENI.
  lab.run('host', 'ip rule add priority 600 to 192.0.2.0/24 lookup main')
  lab.run('host', 'nft add chain ip nat after { type nat hook postrouting priority 100 ; }')
  lab.run('host', 'nft add rule ip nat after ct status dnat ip saddr 192.0.2.0/24 masquerade')
}

/** Milliseconds between two. All datagrams for a pod share the queue of one socket there, which a busy machine must not fill. */
const every = { tcp: 1, udp: 10 } as const

async function startAll(): Promise<void> {
  const start = async (from: Probe, hosts: readonly string[]) => {
    for (const to of hosts)
      for (const kind of ['tcp', 'udp'] as const) assert.equal(await from.beat(kind, to, every[kind]), 'ok', `${kind} ${to}`)
  }
  await start(pod, [...direct, ...Object.values(service)])
  await start(host, ['10.0.1.11', 'fd00:1::11'])
  await start(outside, [hostIp4])
  await allGoOn()
}

/** Every row has been answered something that was sent from now on. */
async function allGoOn(): Promise<void> {
  for (const probe of [pod, host, outside]) {
    const before = await probe.beats()
    await until(async () => {
      const now = await probe.beats()
      for (const [row, { ended }] of Object.entries(now)) assert.equal(ended, '', row)
      return Object.entries(now).every(([row, { echoed }]) => row.startsWith('hear') || echoed > (before[row]?.sent ?? 0))
    }, 'every row goes on')
  }
}

/**
 * Everything that was sent has been answered. The kernel stops what a device sends while the qdisc of its hooks comes or goes: so many milliseconds
 * may be missing from each row of datagrams. What a socket's full queue refused was not lost on the way.
 */
async function nothingLost(joiningMs: number): Promise<string> {
  const probes = [pod, host, outside]
  for (const probe of probes) await probe.hush()
  const lost = async () => {
    const rows = (await Promise.all(probes.map(probe => probe.beats()))).flatMap(beats => Object.entries(beats))
    return rows.flatMap(([row, { sent, echoed }]) => (sent === echoed ? [] : [[row, sent - echoed] as const]))
  }
  await until(async () => (await lost()).every(([row]) => row.startsWith('udp')), 'every connection is answered')
  // A datagram that was lost never comes.
  await until(async () => (await lost()).length === 0, 'all is answered', 5_000).catch(() => undefined)
  const missing = await lost()
  const refused = ['host', 'gw0', 'gw1', 'pod11', 'pod12'].reduce((sum, ns) => sum + refusedBySockets(ns), 0)
  const allowed = joiningMs === 0 ? 0 : Math.ceil(joiningMs / every.udp) + 1
  for (const [row, count] of missing)
    assert.ok(row.startsWith('udp') && count <= allowed + refused, `${row}: ${count}, ${refused} refused by sockets`)
  return `0 connections broken; datagrams lost: ${missing.map(([row, count]) => `${row} ${count}`).join(', ') || 'none'}`
}

function refusedBySockets(ns: string): number {
  const lines = lab.run(ns, 'nstat -asz UdpRcvbufErrors Udp6RcvbufErrors').trim().split('\n').slice(1)
  return lines.reduce((sum, line) => sum + Number(line.split(/\s+/)[1]), 0)
}

async function modeOf(kernel: Kernel): Promise<number> {
  const [{ value } = { value: Buffer.alloc(8) }] = await kernel.mapEntries('control')
  return Number(maps.control.value.decode(value).value)
}

const forwarding = mode.guard | mode.forward | mode.policy

async function took(work: Promise<unknown>): Promise<number> {
  const start = performance.now()
  await work
  return performance.now() - start
}

/** Answers how long it took. */
async function switchOn(datapath: Datapath, kernel: Kernel): Promise<number> {
  const ms = await took(datapath.setNode({ ...v2, learn: true }, [a, b]))
  assert.equal(await modeOf(kernel), forwarding | mode.learn)
  return ms
}

test('on, off by the mode, on again and back: no connection breaks, and datagrams are lost while devices join only', async t => {
  const lesson = new Lesson()
  await lab.afterRestart(async (datapath, kernel) => {
    await startAll()
    const joining = await switchOn(datapath, kernel)
    await allGoOn()
    await until(async () => {
      const { podViaHost = 0, remoteViaHost = 0, hostToPod = 0 } = await lab.counted('paths')
      return Math.min(podViaHost, remoteViaHost, hostToPod) > 100
    }, 'what is translated goes through the host stack')
    lesson.end()
    await until(async () => (await modeOf(kernel)) === forwarding, 'the learning is over')
    await allGoOn()

    await kernel.apply([{ op: 'map-put', ns: 'host', map: 'control', key: '00000000', value: '0000000000000000' }])
    await allGoOn()
    await datapath.differing([a, b])
    assert.equal(await modeOf(kernel), 0, 'no repair switches it on again')
    await switchOn(datapath, kernel)
    await allGoOn()
    const leaving = await took(datapath.setNode({ kind: 'veth' }, [a, b]))
    await allGoOn()
    assert.deepEqual([await datapath.differing([a, b]), await datapath.diff(a)], [[], []])
    assert.deepEqual(lab.pins(), [])
    assert.doesNotMatch(lab.run('host', 'tc qdisc show'), /clsact/)
    t.diagnostic(`a beat each millisecond: ${await nothingLost(joining + leaving)}`)
  }, lesson.clock)
})

test('flows that went past the host stack go on through it when the node is switched off, and past it again: nothing is lost', async () => {
  await lab.afterRestart(async (datapath, kernel) => {
    await datapath.setNode(v2, [a, b])
    assert.equal(await modeOf(kernel), forwarding)
    await startAll()
    const { podToRemote = 0, podToPod = 0 } = await lab.counted('paths')
    assert.ok(podToRemote > 0 && podToPod > 0)
    await kernel.apply([{ op: 'map-put', ns: 'host', map: 'control', key: '00000000', value: '0000000000000000' }])
    await allGoOn()
    await datapath.setNode(v2, [a, b])
    await allGoOn()
    assert.ok(((await lab.counted('paths')).podToRemote ?? 0) > podToRemote)
    await nothingLost(0)
  })
})

test('a translated flow that was silent all the time of learning is still translated when the other side speaks first', async () => {
  const lesson = new Lesson()
  await lab.afterRestart(async (datapath, kernel) => {
    const silent = Object.values(service)
    for (const to of silent) assert.equal(await pod.hear(to), 'ok')
    assert.equal(await outside.hear(hostIp4), 'ok')
    await switchOn(datapath, kernel)
    lesson.end()
    await until(async () => (await modeOf(kernel)) === forwarding, 'the learning is over')
    assert.deepEqual(
      Object.values(await pod.beats()).map(b => b.echoed),
      silent.map(() => 0),
      'nobody has spoken yet',
    )
    await until(async () => {
      await Promise.all(speakers.map(speaker => speaker.speak()))
      const all = [...Object.values(await pod.beats()), ...Object.values(await outside.beats())]
      return all.every(({ echoed, ended }) => ended === '' && echoed > 0)
    }, 'all have spoken')
  }, lesson.clock)
})
