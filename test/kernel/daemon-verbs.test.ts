// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { nodeRuntimes } from '#kube/crd/node-runtime.ts'
import { type CniCall, conf, podArgs } from '../support/cni-client.ts'
import { ipOf, ipsOf } from '../support/daemon-world.ts'
import { noneWaits, slowDetection } from '../support/duplicate-detection.ts'
import { NetnsNode } from '../support/netns-node.ts'
import { nodeName } from '../support/node-world.ts'
import { until } from '../support/until.ts'

const skip = process.getuid?.() !== 0 && 'needs root'
const addresses = (n: number) => Array.from({ length: n }, (_, i) => `10.0.0.${i + 1}`)

test('a pod through the shim: it is reached from the VPC, CHECK passes, DEL leaves nothing', { skip }, async () => {
  await using node = new NetnsNode(addresses(3))
  await node.started()
  const before = node.state()
  node.cluster.pod('web')
  const reply = await node.add('web')
  assert.equal(reply.exit, 0, JSON.stringify(reply))
  const address = ipOf(reply)
  assert.ok(node.reaches(address), `${address} does not answer\n${node.state().join('\n')}`)
  assert.deepEqual(await node.add('web'), reply)
  const check = { command: 'CHECK', containerId: 'c-web', netns: node.sandbox('c-web'), config: { ...conf, prevResult: reply.body } }
  assert.deepEqual(await node.call(check), { exit: 0, body: undefined })

  assert.equal((await node.del('c-web')).exit, 0)
  assert.equal(
    node.state().some(l => l.includes(address)),
    false,
    'DEL has answered, so nothing routes to the address',
  )
  await until(() => node.state().join() === before.join())
  assert.equal((await node.call(check)).body?.code, 3)
  assert.equal((await node.del('c-web')).exit, 0)
})

for (const stack of ['dual', 'ipv6'] as const) {
  test(`${stack}: a pod is reached by each address at once, CHECK passes, DEL leaves nothing`, { skip }, async () => {
    await using node = new NetnsNode(['10.0.0.1', 'fd00:1::1'], {}, stack)
    await node.started()
    const before = node.state()
    node.cluster.pod('web')
    const namespaces = [node.name, node.sandbox('c-web').replace('/run/netns/', '')]
    slowDetection(...namespaces)
    const reply = await node.add('web')
    const ips = ipsOf(reply)
    assert.deepEqual(ips, stack === 'dual' ? ['10.0.0.1', 'fd00:1::1'] : ['fd00:1::1'], JSON.stringify(reply))
    for (const address of ips) assert.ok(node.reaches(address), `${address} does not answer\n${node.state().join('\n')}`)
    for (const ns of namespaces) await noneWaits(ns)
    assert.deepEqual(await node.add('web'), reply)
    const check = { command: 'CHECK', containerId: 'c-web', netns: node.sandbox('c-web'), config: { ...conf, prevResult: reply.body } }
    assert.deepEqual(await node.call(check), { exit: 0, body: undefined })

    node.cluster.pod('small')
    const netns = node.sandbox('c-small')
    const small = { command: 'ADD', containerId: 'c-small', netns, args: podArgs('default', 'small', 'uid-small') }
    const refused = await node.call({ ...small, config: { ...conf, mtu: 1200 } })
    assert.deepEqual([refused.body?.code, refused.body?.msg], [7, 'mtu: 1200 is less than 1280, which IPv6 needs'])

    assert.equal((await node.del('c-web')).exit, 0)
    const ours = (line: string) => ips.some(address => line.split(' ').includes(address))
    assert.equal(node.state().some(ours), false, 'DEL has answered, so nothing routes to the pod')
    await until(() => node.state().join() === before.join())
    assert.equal((await node.call(check)).body?.code, 3)
  })
}

test('what cannot be served is refused by name, and leaves no lease', { skip }, async t => {
  await using node = new NetnsNode(addresses(1), { podWait: 300, addressWait: 500 })
  await node.started()
  const before = node.state()
  const netns = node.sandbox('bad')
  node.cluster.pod('web')
  const add = { command: 'ADD', containerId: 'bad', netns, args: podArgs('default', 'web', 'uid-web') }
  const plainFile = join(node.dir, 'plain')
  writeFileSync(plainFile, '')
  node.cluster.pod('host', { spec: { hostNetwork: true } })
  node.cluster.pod('trunk', { annotations: { 'k8s.aliyun.com/pod-eni': 'true' } })
  node.cluster.pod('moved', { spec: { nodeName: 'node-2' } })
  const cases: readonly [string, Partial<CniCall>, number, RegExp][] = [
    ['malformed input', { config: '{"cniVersion": "1.1.0", "name"' }, 6, /standard input/],
    ['a namespace that does not exist', { netns: '/run/netns/never-was' }, 4, /CNI_NETNS: \/run\/netns\/never-was does not exist/],
    ['a file that is no namespace', { netns: plainFile }, 4, /is not a network namespace/],
    ['a long name', { ifName: 'sixteen-letters-' }, 4, /CNI_IFNAME/],
    [
      'a pod that is not in the API',
      { args: podArgs('default', 'nobody', 'u') },
      11,
      /pod default\/nobody is not in the API server after 300 ms/,
    ],
    ['a pod that was replaced', { args: podArgs('default', 'web', 'uid-old') }, 11, /has UID uid-web, the sandbox is for uid-old/],
    ['a pod of another node', { args: podArgs('default', 'moved', 'uid-moved') }, 101, /is on node node-2/],
    ['a pod on the host network', { args: podArgs('default', 'host', 'uid-host') }, 101, /uses the host's network/],
    ['a pod with an ENI of its own', { args: podArgs('default', 'trunk', 'uid-trunk') }, 101, /wants an ENI of its own/],
  ]
  for (const [what, change, code, message] of cases) {
    await t.test(what, async () => {
      const reply = await node.call({ ...add, ...change })
      assert.equal(reply.exit, 1)
      assert.equal(reply.body?.code, code, JSON.stringify(reply.body))
      assert.match(reply.body?.msg ?? '', message)
    })
  }
  assert.deepEqual(node.state(), before)

  await t.test("another pod's container id, and an empty pool", async () => {
    assert.equal((await node.add('web', 'c-web')).exit, 0)
    node.cluster.pod('next')
    const foreign = await node.call({ ...add, containerId: 'c-web', args: podArgs('default', 'next', 'uid-next') })
    assert.equal(foreign.body?.code, 4)
    assert.match(foreign.body?.msg ?? '', /container c-web is the sandbox of default\/web/)
    const dry = await node.add('next')
    assert.equal(dry.body?.code, 11)
    assert.match(dry.body?.msg ?? '', /no address for pod default\/next after 500 ms: IPv4: no idle address \(1 leased\)/)
  })
})

test('CHECK sees a missing rule, and repair puts it back', { skip }, async () => {
  await using node = new NetnsNode(addresses(2))
  await node.started()
  node.cluster.pod('web')
  const reply = await node.add('web')
  const address = ipOf(reply)
  const whole = node.state()
  const check = { command: 'CHECK', containerId: 'c-web', netns: node.sandbox('c-web'), config: { ...conf, prevResult: reply.body } }
  // Repair may be faster: then the rule goes once more.
  let failed = await node.call(check)
  await until(async () => {
    if (node.state().join() !== whole.join()) return false
    node.ip('rule', 'del', 'priority', '2048', 'from', address)
    failed = await node.call(check)
    return failed.exit !== 0
  }, 'CHECK to see it')
  assert.equal(failed.body?.code, 102)
  assert.match(failed.body?.msg ?? '', /ip rule add priority 2048/)
  await until(() => node.state().join() === whole.join())
  assert.equal((await node.call(check)).exit, 0)
  await until(() => node.model.events.some(e => e.reason === 'ConfigCheck' && e.about.name === 'web'))
  const wrong = await node.call({ ...check, config: { ...conf, prevResult: { ...reply.body, ips: [{ address: '10.9.9.9/24' }] } } })
  assert.equal(wrong.body?.code, 102)
})

test('GC ends what the runtime does not know, and nothing else', { skip }, async () => {
  await using node = new NetnsNode(addresses(3))
  await node.started()
  for (const name of ['a', 'b']) {
    node.cluster.pod(name)
    assert.equal((await node.add(name)).exit, 0)
  }
  const refused = await node.call({ command: 'GC' })
  assert.equal(refused.body?.code, 7)
  const kept = node.state().filter(l => l.includes('10.0.0.2'))
  const config = { ...conf, 'cni.dev/valid-attachments': [{ containerID: 'c-b', ifname: 'eth0' }] }
  assert.equal((await node.call({ command: 'GC', config })).exit, 0)
  await until(() => !node.state().some(l => l.includes('10.0.0.1')))
  assert.deepEqual(
    node.state().filter(l => l.includes('10.0.0.2')),
    kept,
  )
  assert.ok(node.reaches('10.0.0.2'))
})

test('a restart changes nothing for pods that run; leftovers of nobody go', { skip }, async () => {
  await using node = new NetnsNode(addresses(3))
  await node.started()
  node.cluster.pod('web')
  const address = ipOf(await node.add('web'))
  const links = () => node.ip('-o', 'link', 'show').filter(l => l.includes(': cali'))
  const before = { state: node.state(), links: links() }
  await node.kill()
  node.ip('link', 'add', 'cali0123456789a', 'type', 'veth', 'peer', 'name', 'stray')
  node.ip('rule', 'add', 'priority', '512', 'to', '10.0.0.3/32', 'lookup', 'main')
  node.ip('rule', 'add', 'priority', '600', 'to', '10.7.7.7/32', 'lookup', 'main')
  await node.started()
  assert.deepEqual(node.state(), before.state)
  assert.deepEqual(links(), before.links)
  assert.ok(
    node.ip('rule').some(l => l.startsWith('600:')),
    "somebody else's rule stays",
  )
  assert.ok(node.reaches(address))
  assert.equal((await node.del('c-web')).exit, 0)
})

test('a lease whose pod and sandbox are gone ends without a DEL; a living sandbox does not', { skip }, async () => {
  await using node = new NetnsNode(addresses(3))
  await node.started()
  for (const name of ['gone', 'alive']) {
    node.cluster.pod(name)
    assert.equal((await node.add(name)).exit, 0)
    node.cluster.removePod(name)
  }
  node.removeSandbox('c-gone')
  const pods = () => node.model.read(nodeRuntimes, nodeName)?.status?.pods ?? {}
  await until(() => pods()['uid-gone']?.status.deleted !== undefined)
  assert.equal(pods()['uid-alive']?.status.deleted, undefined)
  assert.ok(node.reaches('10.0.0.2'))
})
