// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import type { SharedEniAttachment } from '#datapath/attachment.ts'
import { addressesOf } from '#datapath/mode/veth-route.ts'
import { maps } from '#kernel/bpf/maps.ts'
import { direction, enforce } from '#kernel/bpf/words.ts'
import { observeHost } from '#kernel/host.ts'
import type { KernelOp } from '#kernel/op.ts'
import { policiesChangedOp, policyEntry } from '#kernel/policies.ts'
import { until } from '../support/until.ts'
import { DatapathLab, internet4, internet6, type Probe, port, v2 } from './datapath-lab.ts'

/** What the maps of policy say holds for real traffic, from the first packet on and, after a change, for flows that are under way. */

const [tcp, udp] = [6, 17]
const friends = 100
const policyId = 7

let lab: DatapathLab
let a: SharedEniAttachment
let pod: Probe
let gateway: Probe
let host: Probe
before(async () => {
  lab = await DatapathLab.create('vp', { v2: true })
  await lab.datapath.setNode(v2, [])
  a = lab.pod(11, { eni: 1, families: [4, 6] })
  const b = lab.pod(12, { eni: 2, families: [4, 6] })
  for (const each of [a, b]) await lab.datapath.setup(each)
  for (const ip of addressesOf(b)) await apply(put('identities', { prefixLength: 128, ip }, { identity: friends }))
  gateway = await lab.probe('gw1')
  host = await lab.probe('host')
  await lab.probe('pod12')
  pod = await lab.probe('pod11')
})
after(() => lab.close())

async function apply(...ops: KernelOp[]): Promise<void> {
  const host = await observeHost(lab.kernel, { links: [], families: [], entries: [policyEntry] })
  assert.equal((await lab.kernel.apply([...ops, policiesChangedOp(host)])).failed, undefined)
}

type Keys = { [M in keyof typeof maps]: Parameters<(typeof maps)[M]['key']['encode']>[0] }
type Entries = { [M in keyof typeof maps]: Parameters<(typeof maps)[M]['value']['encode']>[0] }

function put<M extends 'identities' | 'policies' | 'endpoint_policies'>(map: M, key: Keys[M], value: Entries[M]): KernelOp {
  // Each map's codec takes its own fields, which the compiler cannot follow through the name.
  const { key: k, value: v } = maps[map] as { key: { encode(x: Keys[M]): Buffer }; value: { encode(x: Entries[M]): Buffer } }
  return { op: 'map-put', ns: 'host', map, key: k.encode(key).toString('hex'), value: v.encode(value).toString('hex') }
}

function rule(way: number, identity: number, protocol: number, verdict: 'put' | 'del'): KernelOp {
  const added = put('policies', { prefixLength: 96, policy: policyId, identity, direction: way, protocol, port }, {})
  if (verdict === 'put' || added.op !== 'map-put') return added
  return { op: 'map-del', ns: 'host', map: 'policies', key: added.key }
}

let revision = 0
/** The pod's policy has another revision. */
function revised(enforced: number): KernelOp {
  const [link] = JSON.parse(lab.run('host', `ip -j link show ${a.hostIfName}`))
  return put('endpoint_policies', { ifIndex: link.ifindex }, { policy: policyId, revision: ++revision, enforce: enforced })
}

async function dropped(reason: string): Promise<number> {
  return (await lab.counted('drops'))[reason] ?? 0
}

test('out: only whom a rule names, by protocol and port, in both families', async () => {
  await apply(rule(direction.out, friends, tcp, 'put'), revised(enforce.out))
  for (const to of ['10.0.2.12', 'fd00:2::12']) {
    assert.equal(await pod.stream(to), 'ok', to)
    assert.equal(await pod.ask(to, 300), 'timeout', `${to}: no rule for UDP`)
  }
  for (const to of [internet4, internet6]) assert.equal(await pod.ask(to, 300), 'timeout', to)
  assert.ok((await dropped('policy-egress')) >= 4)
  await apply(rule(direction.out, 0, udp, 'put'), revised(enforce.out))
  for (const to of ['10.0.2.12', 'fd00:2::12']) assert.equal(await pod.ask(to), `pod12 ${to.includes(':') ? 'fd00:1::11' : '10.0.1.11'}`)
  for (const to of [internet4, internet6]) assert.match(await pod.ask(to), /^gw1 /, 'a rule for everybody')
})

test('in: a stranger is refused, the node never is, and answers pass', async () => {
  await apply(revised(enforce.in))
  for (const to of addressesOf(a)) {
    assert.equal(await gateway.ask(to, 300), 'timeout', to)
    assert.match(await host.ask(to), /^pod11 /, `${to}: as a probe of the kubelet does`)
    assert.equal(await host.stream(to), 'ok')
  }
  assert.ok((await dropped('policy-ingress')) >= 2)
  for (const to of [internet4, internet6]) assert.equal(await pod.stream(to), 'ok', 'what the pod begins is answered')
  await apply(rule(direction.in, 0, udp, 'put'), revised(enforce.in))
  for (const to of addressesOf(a)) assert.match(await gateway.ask(to), /^pod11 /)
})

test('a change holds for a connection that is under way, which nobody flushes; allowed again, it goes on', async () => {
  await apply(revised(enforce.out))
  assert.equal(await pod.beat('tcp', '10.0.2.12', 5), 'ok')
  const echoed = async () => (await pod.beats())['tcp 10.0.2.12']?.echoed ?? 0
  const goesOn = async (what: string) => {
    const before = await echoed()
    await until(async () => (await echoed()) > before + 5, what)
  }
  await goesOn('the connection lives')
  const denied = await dropped('denied-flow')
  await apply(rule(direction.out, friends, tcp, 'del'), revised(enforce.out))
  await until(async () => (await dropped('denied-flow')) > denied, 'its packets are dropped')
  // What was let through before may still come back.
  await until(async () => {
    const [answers, drops] = [await echoed(), await dropped('denied-flow')]
    await until(async () => (await dropped('denied-flow')) > drops, 'and again')
    return (await echoed()) === answers
  }, 'nothing comes back')
  await apply(rule(direction.out, friends, tcp, 'put'), revised(enforce.out))
  await goesOn('it goes on')
  assert.equal((await pod.beats())['tcp 10.0.2.12']?.ended, '')
})

test('without an entry, or with the bit of policy off, everything is allowed', async () => {
  const entry = revised(enforce.out)
  await apply(rule(direction.out, 0, udp, 'del'), entry)
  assert.equal(await pod.ask(internet4, 300), 'timeout')
  if (entry.op === 'map-put') await apply({ op: 'map-del', ns: 'host', map: 'endpoint_policies', key: entry.key })
  assert.match(await pod.ask(internet4), /^gw1 /)
})
