// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import type { ExclusiveEniAttachment } from '#datapath/attachment.ts'
import { maps } from '#kernel/bpf/maps.ts'
import { block, mode, namespaceOf } from '#kernel/bpf/words.ts'
import { formatOp } from '#kernel/op.ts'
import { until } from '../support/until.ts'
import { DatapathLab, hostIp4, hostIp6, internet4, internet6, type Probe } from './datapath-lab.ts'
import { nodes, putServices, type TestService } from './datapath-services.ts'

/**
 * Services without kube-proxy on an exclusive node: real connections and datagrams of both families, and whom the backend saw. Pod 61 has ENI 1 and pod 62
 * ENI 2 for itself. What answers is named by where it is: the internet behind the pod's own gateway is `gw1`, behind the node's `gw0`.
 */

const [pod61, pod62] = [
  ['10.0.1.61', 'fd00:1::61'],
  ['10.0.2.62', 'fd00:2::62'],
] as const
const [host, internet, outsider] = [
  [hostIp4, hostIp6],
  [internet4, internet6],
  ['192.0.2.1', '2001:db8:1::1'],
] as const

const ips = (n: number) => [`10.96.0.${n}`, `fd00:96::${n}`] as const
const local = { externalTrafficPolicy: 'Local' }
const all: readonly TestService[] = [
  { name: 'remote', ips: ips(10), backends: internet, nodePort: 30010 },
  { name: 'self', ips: ips(11), backends: pod61, local: true, nodePort: 30020 },
  { name: 'node', ips: ips(12), backends: host, local: true, nodePort: 30030 },
  { name: 'policy', ips: ips(13), backends: pod61, local: true, nodePort: 30040, spec: local },
  { name: 'other', ips: ips(14), backends: pod62, local: true, nodePort: 30050 },
  { name: 'empty', ips: ips(15), nodePort: 30060 },
]

let lab: DatapathLab
let a: ExclusiveEniAttachment
let b: ExclusiveEniAttachment
/** In pod 61: one whose sockets are translated, and one of whose the programs do not know, as of a virtual machine. */
let pod: Probe
let stranger: Probe
let own: Probe
let outside: Probe
before(async () => {
  lab = await DatapathLab.create('x', { v2: true })
  await lab.datapath.setNode(nodes.regular, [])
  await putServices(lab.kernel, all)
  a = lab.exclusive(61, { families: [4, 6] })
  b = lab.exclusive(62, { eni: 2, families: [4, 6] })
  for (const one of [a, b]) await lab.datapath.setup(one)
  for (const ns of ['gw1', 'pod62']) await lab.probe(ns)
  stranger = await lab.probe('pod61')
  pod = await lab.probe('pod61', { atSockets: true, serves: false })
  ;[own, outside] = [await lab.probe('host'), await lab.probe('gw0')]
})
after(() => lab.close())

/** Of each family, over TCP and UDP. */
async function assertAnswers(from: Probe, to: readonly [string, string], answers: readonly [string, string], at?: number): Promise<void> {
  for (const i of [0, 1] as const) {
    assert.equal(await from.call(to[i], undefined, at), answers[i], `TCP to ${to[i]}`)
    assert.equal(await from.ask(to[i], undefined, at), answers[i], `UDP to ${to[i]}`)
  }
}

const seenAs = (name: string, client: readonly [string, string]) => [`${name} ${client[0]}`, `${name} ${client[1]}`] as const

test('a pod with an ENI for itself is set up once, and CHECK finds nothing', async () => {
  assert.deepEqual([await lab.datapath.diff(a), await lab.datapath.differing([a, b])], [[], []])
  const kinds = (await lab.kernel.mapEntries('namespaces')).map(({ value }) => maps.namespaces.value.decode(value).translated)
  assert.deepEqual(kinds.sort(), [namespaceOf.node, namespaceOf.pod, namespaceOf.pod])
})

test('by its sockets it reaches a backend elsewhere past its node, itself, and its node', async () => {
  const forwarded = lab.forwarded()
  await assertAnswers(pod, ips(10), seenAs('gw1', pod61))
  await assertAnswers(pod, host, seenAs('gw1', pod61), 30010)
  await assertAnswers(pod, ips(11), seenAs('pod61', pod61))
  await assertAnswers(pod, ips(12), seenAs('host', pod61))
  assert.equal(lab.forwarded(), forwarded)
  assert.deepEqual(await lab.counted('drops'), {})
})

test('the node reaches it by a Service, and by itself', async () => {
  for (const to of [ips(11), pod61]) await assertAnswers(own, to, seenAs('pod61', host))
  await assertAnswers(own, host, seenAs('pod61', host), 30020)
})

test('clients outside reach it at its node, which it sees in their place, under any policy', async () => {
  for (const nodePort of [30020, 30040]) {
    await assertAnswers(outside, host, seenAs('pod61', host), nodePort)
    for (const to of host) assert.equal(await outside.stream(to, 300_000, nodePort), 'ok')
  }
  await assertAnswers(outside, host, seenAs('host', outsider), 30030)
  assert.equal(await outside.call(hostIp4, undefined, 30060), 'ECONNREFUSED')
  const { nodeToRemote = 0, remoteAnswersClient = 0 } = await lab.counted('paths')
  assert.ok(nodeToRemote > 0 && remoteAnswersClient > 0)
})

test('what no socket of its own namespace asks for is led there by the node: elsewhere, to a pod, to itself, to the node, or nowhere', async () => {
  await assertAnswers(stranger, ips(10), seenAs('gw0', host))
  await assertAnswers(stranger, ips(14), seenAs('pod62', host))
  await assertAnswers(stranger, ips(11), seenAs('pod61', host))
  await assertAnswers(stranger, ips(12), seenAs('host', pod61))
  await assertAnswers(stranger, host, seenAs('host', pod61), 30030)
  for (const to of ips(10)) assert.equal(await stranger.stream(to, 300_000), 'ok')
  for (const to of ips(15)) assert.equal(await stranger.call(to), 'ECONNREFUSED')
  // By its sockets it is translated to nowhere, so that its packets are refused.
  for (const to of ips(15)) assert.equal(await pod.call(to), 'ECONNREFUSED')
})

/** [what somebody does to the host end or the maps, the repair]. */
const damages: readonly [what: string, damage: () => Promise<unknown>, repair: readonly RegExp[]][] = [
  [
    'the programs taken from the host end',
    async () => lab.run('host', `tc qdisc del dev ${a.hostIfName} clsact`),
    [new RegExp(`^tc qdisc add dev cali\\S+ ingress_block ${block.nodeIn} egress_block ${block.nodeOut} clsact$`)],
  ],
  ['the address forgotten', () => forget('addresses'), [/map update pinned maps\/addresses/, /map update pinned maps\/addresses/]],
  ['the namespace forgotten', () => forget('namespaces'), [/map update pinned maps\/namespaces/]],
]

/** Those entries that belong to the first pod. */
async function forget(map: 'addresses' | 'namespaces'): Promise<void> {
  const [state] = await lab.kernel.observe([{ ns: a.netns, links: [], families: [], cookie: true }])
  const keys = (await lab.kernel.mapEntries(map)).filter(({ key }) =>
    map === 'addresses'
      ? pod61.some(ip => ip === maps.addresses.key.decode(key).ip)
      : maps.namespaces.key.decode(key).cookie === state?.cookie,
  )
  const { failed } = await lab.kernel.apply(
    keys.map(({ key }) => ({ op: 'map-del', ns: 'host', map, key: Buffer.from(key).toString('hex') })),
  )
  assert.equal(failed, undefined)
}

for (const [what, damage, repair] of damages) {
  test(`${what} is told, and repaired`, async () => {
    await damage()
    const told = (await lab.datapath.diff(a)).map(formatOp)
    assert.equal(told.length, repair.length, told.join('\n'))
    for (const [i, line] of told.entries()) assert.match(line, repair[i] ?? /^$/)
    assert.deepEqual(await lab.datapath.differing([a, b]), [a])
    await lab.datapath.setup(a)
    assert.deepEqual(await lab.datapath.diff(a), [])
    await assertAnswers(pod, ips(10), seenAs('gw1', pod61))
    await assertAnswers(outside, host, seenAs('pod61', host), 30040)
  })
}

test("a restart leaves it as it is, and sweeps namespaces that are nobody's any more", async () => {
  const stale = maps.namespaces.key.encode({ cookie: 0xffffffffn }).toString('hex')
  const value = maps.namespaces.value.encode({ translated: namespaceOf.pod }).toString('hex')
  await lab.kernel.apply([{ op: 'map-put', ns: 'host', map: 'namespaces', key: stale, value }])
  await lab.afterRestart(async datapath => {
    await datapath.setNode(nodes.regular, [a, b])
    assert.deepEqual(await datapath.differing([a, b]), [])
  })
  const left = (await lab.kernel.mapEntries('namespaces')).map(({ key }) => Buffer.from(key).toString('hex'))
  assert.deepEqual([left.length, left.includes(stale)], [3, false])
  await assertAnswers(pod, ips(10), seenAs('gw1', pod61))
})

test('while kube-proxy has the Services again nothing of them is left, and they come back', async () => {
  await lab.datapath.setNode({ kind: 'veth' }, [a, b])
  assert.deepEqual([await lab.datapath.diff(a), lab.pins(), lab.run('host', `tc qdisc show dev ${a.hostIfName} clsact`)], [[], [], ''])
  assert.equal(await pod.call('10.96.0.10', 500), 'timeout')
  assert.equal(await own.call('10.0.1.61'), `pod61 ${hostIp4}`)
  await lab.datapath.setNode(nodes.regular, [a, b])
  await putServices(lab.kernel, all)
  await until(async () => ((await lab.mode()) & mode.service) !== 0)
  assert.deepEqual(await lab.datapath.differing([a, b]), [])
  await assertAnswers(pod, ips(10), seenAs('gw1', pod61))
  await assertAnswers(outside, host, seenAs('pod61', host), 30040)
})

test('without a host end there is its namespace alone', async () => {
  const c = lab.exclusive(63, { eni: 3, families: [4, 6], more: { hostPeer: false } })
  await lab.datapath.setup(c)
  assert.deepEqual(await lab.datapath.diff(c), [])
  assert.equal((await lab.kernel.mapEntries('addresses')).length, 4)
  const alone = await lab.probe('pod63', { atSockets: true })
  // The gateway of its vSwitch answers for the internet.
  await lab.probe('gw3')
  assert.equal(await alone.call('10.96.0.10'), 'gw3 10.0.1.63')
  await lab.datapath.withdraw(c)
  assert.equal((await lab.kernel.mapEntries('namespaces')).length, 3)
})

test('a withdrawal takes away what is its own, also when its namespace is gone', async () => {
  await lab.datapath.withdraw(a)
  assert.equal((await lab.kernel.mapEntries('namespaces')).length, 2)
  assert.equal((await lab.kernel.mapEntries('addresses')).length, 2)
  assert.equal(await outside.call(hostIp4, 500, 30040), 'timeout', 'nobody is here')
  lab.removeNetns('pod62')
  await lab.datapath.withdraw(b)
  await lab.datapath.reap([a.hostIfName, b.hostIfName])
  assert.deepEqual(
    (await lab.kernel.mapEntries('namespaces')).map(({ value }) => maps.namespaces.value.decode(value).translated),
    [namespaceOf.node],
  )
  assert.equal((await lab.kernel.mapEntries('addresses')).length, 0)
})
