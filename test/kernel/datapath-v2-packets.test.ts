// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import type { SharedEniAttachment } from '#datapath/attachment.ts'
import { DatapathLab, hostIp4, hostIp6, internet4, internet6, type Probe, v2 } from './datapath-lab.ts'

/** Which way real packets take, by the programs' own counters, and that the host stack forwards none of those that go past it. */

let lab: DatapathLab
let a: SharedEniAttachment
let b: SharedEniAttachment
let host: Probe
let gateway: Probe
let podA: Probe
let podB: Probe
before(async () => {
  lab = await DatapathLab.create('vp', { v2: true })
  a = lab.pod(11, { eni: 1, families: [4, 6] })
  b = lab.pod(12, { eni: 2, families: [4, 6] })
  await lab.datapath.setNode(v2, [])
  await lab.datapath.setup(a)
  await lab.datapath.setup(b)
  host = await lab.probe('host')
  for (const ns of ['gw0', 'gw2']) await lab.probe(ns)
  gateway = await lab.probe('gw1')
  podA = await lab.probe('pod11')
  podB = await lab.probe('pod12')
})
after(() => lab.close())

/** Which counters moved while `fn` ran; `none` moves with every neighbour discovery. */
async function ways(fn: () => Promise<void>): Promise<string[]> {
  const before = await lab.counted('paths')
  await fn()
  const now = await lab.counted('paths')
  return Object.keys(now)
    .filter(name => name !== 'none' && now[name] !== before[name])
    .toSorted()
}

type Row = readonly [what: string, from: () => Probe, to: string, answer: RegExp, ways: readonly string[], past: boolean]
const rows: readonly Row[] = [
  ['pod to remote, IPv4', () => podA, internet4, /^gw1 10\.0\.1\.11$/, ['podToRemote', 'remoteToPod'], true],
  ['pod to remote, IPv6', () => podB, internet6, /^gw2 fd00:2::12$/, ['podToRemote', 'remoteToPod'], true],
  ['remote to pod, IPv4', () => gateway, '10.0.1.11', /^pod11 10\.0\.1\.253$/, ['podToRemote', 'remoteToPod'], true],
  ['remote to pod, IPv6', () => gateway, 'fd00:1::11', /^pod11 fd00:1::fd$/, ['podToRemote', 'remoteToPod'], true],
  ['pod to pod, IPv4', () => podA, '10.0.2.12', /^pod12 10\.0\.1\.11$/, ['podToPod'], true],
  ['pod to pod, IPv6', () => podB, 'fd00:1::11', /^pod11 fd00:2::12$/, ['podToPod'], true],
  ['pod to host, IPv4', () => podA, hostIp4, /^host 10\.0\.1\.11$/, ['hostToPod', 'podToHost', 'podViaHost'], false],
  ['pod to host, IPv6', () => podA, hostIp6, /^host fd00:1::11$/, ['hostToPod', 'podToHost', 'podViaHost'], false],
  ['host to pod, IPv4', () => host, '10.0.1.11', new RegExp(`^pod11 ${hostIp4}$`), ['hostToPod', 'podViaHost'], false],
  ['host to pod, IPv6', () => host, 'fd00:2::12', /^pod12 /, ['hostToPod', 'podViaHost'], false],
]
for (const [what, from, to, answer, expected, past] of rows) {
  test(`${what}: TCP and UDP take their way`, async () => {
    const forwarded = lab.forwarded()
    const udp = await ways(async () => assert.match(await from().ask(to), answer))
    const tcp = await ways(async () => assert.equal(await from().stream(to), 'ok'))
    assert.ok(
      udp.every(way => expected.includes(way)),
      `UDP: ${udp}`,
    )
    assert.deepEqual(tcp, expected)
    if (past) assert.equal(lab.forwarded(), forwarded, 'the host stack forwarded none')
    assert.deepEqual(await lab.counted('drops'), {})
  })
}

test('answers that come late, one after the other, find who asked and draw no error', async () => {
  const forwarded = lab.forwarded()
  // An answer takes longer than it takes to ask again.
  lab.run('gw1', 'tc qdisc add dev wire root tbf rate 8kbit burst 100 limit 3000')
  const used = await ways(async () => {
    for (let n = 0; n < 6; n++) assert.equal(await podA.ask(internet4), 'gw1 10.0.1.11')
  })
  lab.run('gw1', 'tc qdisc del dev wire root')
  assert.deepEqual(used, ['podToRemote', 'remoteToPod'])
  assert.equal(lab.forwarded(), forwarded)
})

test('a long stream goes past the host stack in large segments, to a pod and to the world', async () => {
  const forwarded = lab.forwarded()
  for (const to of ['10.0.2.12', 'fd00:2::12', internet4, internet6]) {
    const used = await ways(async () => assert.equal(await podA.stream(to, 20_000_000), 'ok'))
    assert.deepEqual(used, to.includes('2.12') || to.includes('2::12') ? ['podToPod'] : ['podToRemote', 'remoteToPod'], to)
  }
  assert.equal(lab.forwarded(), forwarded)
})

test('a destination that the configuration leaves to the host stack goes there', async () => {
  lab.run('host', 'ip addr add 203.0.113.7/32 dev lo')
  const used = await ways(async () => assert.equal(await podA.ask('203.0.113.7'), 'host 10.0.1.11'))
  assert.ok(used.includes('podToHost'))
  lab.run('host', 'ip addr del 203.0.113.7/32 dev lo')
})

test('a shaped pod gets its packets through the queue of its host end', async () => {
  const c = lab.pod(13, { eni: 1, families: [4, 6], more: { ingressBytesPerSecond: 12_500_000 } })
  await lab.datapath.setup(c)
  const podC = await lab.probe('pod13')
  for (const to of ['10.0.1.13', 'fd00:1::13']) {
    const used = await ways(async () => assert.equal(await podA.stream(to, 100_000), 'ok'))
    assert.deepEqual(used, ['podToPod', 'shaped'])
  }
  for (const to of [internet4, internet6]) {
    const used = await ways(async () => assert.equal(await podC.stream(to, 100_000), 'ok'))
    assert.deepEqual(used, ['podToRemote', 'shaped'])
  }
  const queue = lab.run('host', `tc -s qdisc show dev ${c.hostIfName} root`)
  assert.match(queue, /tbf 1: root/)
  assert.ok(Number(/Sent (\d+) bytes/.exec(queue)?.[1]) > 400_000, queue)
  await lab.datapath.withdraw(c)
  await lab.datapath.reap([c.hostIfName])
})
