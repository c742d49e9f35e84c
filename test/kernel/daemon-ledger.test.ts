// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { existsSync, mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { test } from 'node:test'
import { nodeRuntimes } from '#kube/crd/node-runtime.ts'
import { conf } from '../support/cni-client.ts'
import { ipOf } from '../support/daemon-world.ts'
import { NetnsNode } from '../support/netns-node.ts'
import { until } from '../support/until.ts'

const skip = process.getuid?.() !== 0 && 'needs root'
const addresses = (n: number) => Array.from({ length: n }, (_, i) => `10.0.0.${i + 1}`)

test('a damaged ledger: running pods keep their addresses, and the damaged file is kept', { skip }, async () => {
  await using node = new NetnsNode(addresses(3))
  await node.started()
  node.cluster.pod('web')
  const reply = await node.add('web')
  const address = ipOf(reply)
  const before = node.state()
  // The report must be out: the container's id is known from nowhere else.
  await until(() => JSON.stringify(node.model.all(nodeRuntimes)).includes('c-web'))
  await node.kill()
  node.loseLedger()
  writeFileSync(node.ledgerPath, 'this is no database any more'.repeat(500))

  await node.started()
  assert.ok(existsSync(`${node.ledgerPath}.corrupt-test`))
  assert.deepEqual(node.state(), before)
  assert.ok(node.reaches(address))
  for (const name of ['p1', 'p2']) {
    node.cluster.pod(name)
    assert.notEqual(ipOf(await node.add(name)), address)
  }
  assert.deepEqual((await node.add('web')).body, reply.body, "the container's ADD still returns its first lease")
  assert.equal((await node.del('c-web')).exit, 0)
  await until(() => !node.state().some(l => l.includes(`${address} `)))
})

test('a ledger that is lost before the report: a pair is found by its device, and is checked, repaired and taken down as before', {
  skip,
}, async () => {
  const pairs = ['10.0.0.1', 'fd00:1::1', '10.0.0.2', 'fd00:1::2']
  await using node = new NetnsNode(pairs, { reportInterval: 60_000, netnsDir: '/run/netns' }, 'dual')
  await node.started()
  const empty = node.state()
  node.cluster.pod('web')
  const reply = await node.add('web')
  assert.equal(reply.exit, 0, JSON.stringify(reply))
  const before = node.state()
  await node.kill()
  node.loseLedger()

  await node.started()
  assert.deepEqual(node.state(), before)
  const check = { command: 'CHECK', containerId: 'c-web', netns: node.sandbox('c-web'), config: { ...conf, prevResult: reply.body } }
  assert.deepEqual(await node.call(check), { exit: 0, body: undefined })
  node.ip('rule', 'del', 'priority', '2048', 'from', ipOf(reply))
  await until(() => node.state().join() === before.join(), 'the rule to be put back')
  assert.equal((await node.del('c-web')).exit, 0)
  await until(() => node.state().join() === empty.join(), 'its device to go')
})

test('another boot: leases of the old one are void', { skip }, async () => {
  await using node = new NetnsNode(addresses(1))
  await node.started()
  node.cluster.pod('web')
  assert.equal((await node.add('web')).exit, 0)
  await node.kill()
  // What a reboot does: devices, rules and namespaces are gone.
  node.removeSandbox('c-web')
  for (const rule of ['512', '2048']) node.ip('rule', 'del', 'priority', rule)
  await until(() => node.state().length === 0)
  node.bootId = 'boot-2'
  await node.started()
  assert.equal(ipOf(await node.add('web', 'c-web-2')), '10.0.0.1')
})

test('a full disk: ADD and DEL say so and change nothing, and all is well when there is space again', { skip }, async () => {
  await using node = new NetnsNode(addresses(3))
  const lib = dirname(node.ledgerPath)
  mkdirSync(lib)
  const child = await node.started({
    wrap: ['unshare', '-m', '--propagation', 'slave', 'sh', '-c', `mount -t tmpfs -o size=512k tmpfs ${lib} && exec "$@"`, 'sh'],
  })
  node.cluster.pod('web')
  const address = ipOf(await node.add('web'))
  const before = node.state()
  // The file system exists in the daemon's mount namespace only.
  const inside = join(`/proc/${child.pid}/root`, lib)
  assert.deepEqual(readdirSync(lib), [])
  fill(join(inside, 'filler'))
  node.cluster.pod('next')
  // The write-ahead log may have room for a few more commits.
  let reply = await node.add('next')
  for (let i = 0; i < 40 && reply.exit === 0; i++) {
    await node.del('c-next')
    reply = await node.add('next', `c-next-${i}`)
  }
  assert.equal(reply.body?.code, 5, JSON.stringify(reply.body))
  assert.match(reply.body?.msg ?? '', /ledger .* cannot grow: free space/)
  const refused = await node.del('c-web')
  assert.equal(refused.body?.code, 5)
  assert.ok(node.state().filter(l => l.includes(address)).length >= 3)
  assert.ok(node.reaches(address))
  assert.deepEqual(
    before.filter(l => !node.state().includes(l)),
    [],
  )

  rmSync(join(inside, 'filler'))
  assert.equal((await node.add('next', 'c-after')).exit, 0)
  assert.equal((await node.del('c-web')).exit, 0)
  await until(() => !node.state().some(l => l.includes(`${address} `)))
})

function fill(path: string): void {
  for (const size of [64 * 1024, 4096, 512, 1]) {
    try {
      for (;;) writeFileSync(path, Buffer.alloc(size), { flag: 'a' })
    } catch {
      // Full for this size: go on with a smaller one.
    }
  }
}
