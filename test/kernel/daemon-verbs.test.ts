// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { conf } from '../support/cni-client.ts'
import { ipOf } from '../support/daemon-world.ts'
import { NetnsNode } from '../support/netns-node.ts'
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
