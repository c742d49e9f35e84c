// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type CniReply, conf, podArgs } from '../support/cni-client.ts'
import { ipsOf } from '../support/daemon-world.ts'
import { ip, NetnsNode } from '../support/netns-node.ts'
import { until } from '../support/until.ts'

// Nodes whose pods have an ENI each.

const skip = process.getuid?.() !== 0 && 'needs root'
const pairOf = (n: number): readonly [string, string] => [`10.0.0.${n}`, `fd00:1::${n}`]
const checkOf = (node: NetnsNode, container: string, reply: CniReply) => {
  return { command: 'CHECK', containerId: container, netns: node.sandbox(container), config: { ...conf, prevResult: reply.body } }
}

/** Whether the node itself reaches the pod, as its probes do: a closed port refuses. */
function probes(node: NetnsNode, address: string): boolean {
  return node.reachesFrom(node.name, address)
}

test('a pod through the shim: it has the ENI, VPC and node reach it, CHECK passes, DEL brings the ENI back', { skip }, async () => {
  await using node = new NetnsNode([pairOf(1), pairOf(2)], {}, 'dual')
  await node.started()
  const before = node.state()
  node.cluster.pod('web', { spec: { containers: [{ name: 'c', resources: { limits: { 'aliyun/eni': '1' } } }] } })
  const reply = await node.add('web')
  assert.deepEqual(ipsOf(reply), pairOf(1), JSON.stringify(reply))
  assert.deepEqual(node.places(), ['c-web', 'node'])
  for (const address of ipsOf(reply)) {
    await until(() => node.reaches(address), `${address} to answer the VPC`)
    assert.ok(probes(node, address), `${address} does not answer its node\n${node.state().join('\n')}`)
  }
  assert.deepEqual(await node.add('web'), reply)
  const check = checkOf(node, 'c-web', reply)
  assert.deepEqual(await node.call(check), { exit: 0, body: undefined })

  assert.equal((await node.del('c-web')).exit, 0)
  assert.deepEqual(node.places(), ['node', 'node'], 'DEL has answered, so the namespace may go')
  node.removeSandbox('c-web')
  await until(() => node.state().join() === before.join())
  assert.equal((await node.call(check)).body?.code, 3)
  assert.equal((await node.del('c-web')).exit, 0)
})

test('the ENI of a pod that is gone serves the next one, and a pod without a host end is reached from the VPC', { skip }, async () => {
  await using node = new NetnsNode([pairOf(1)], {}, 'dual')
  node.mount({ cniVersion: '0.4.0', name: 'terway', type: 'terway', disable_host_peer: true })
  await node.started()
  for (const name of ['one', 'two']) {
    node.cluster.pod(name)
    const reply = await node.add(name)
    assert.deepEqual([ipsOf(reply), reply.body?.interfaces?.map(i => i.name)], [pairOf(1), ['eth0']], JSON.stringify(reply))
    assert.deepEqual(node.places(), [`c-${name}`])
    assert.deepEqual(node.state(), [])
    for (const address of pairOf(1)) await until(() => node.reaches(address), `${address} to answer the VPC`)
    assert.deepEqual(await node.call(checkOf(node, `c-${name}`, reply)), { exit: 0, body: undefined })
    assert.equal((await node.del(`c-${name}`)).exit, 0)
    node.removeSandbox(`c-${name}`)
  }
  assert.deepEqual(node.places(), ['node'])
})

test('one more pod than ENIs is told what it waits for, and gets the ENI of the one that goes', { skip }, async () => {
  await using node = new NetnsNode([['10.0.0.1']], { addressWait: 100 })
  await node.started()
  for (const name of ['first', 'second']) node.cluster.pod(name)
  await until(async () => (await node.add('first')).exit === 0, 'the first pod to be served')
  const dry = await node.add('second')
  assert.equal(dry.body?.code, 11)
  assert.match(dry.body?.msg ?? '', /each pod takes a whole ENI: 1 of 1 have theirs/)
  assert.equal((await node.del('c-first')).exit, 0)
  await until(async () => (await node.add('second')).exit === 0, 'the second pod to be served')
  assert.deepEqual(node.places(), ['c-second'])
})

test('what a pod lost inside and outside is put back', { skip }, async () => {
  await using node = new NetnsNode([pairOf(1)], { repairInterval: 100 }, 'dual')
  await node.started()
  node.cluster.pod('web')
  const reply = await node.add('web')
  const before = node.state()
  const pod = `${node.name}-c-web`
  const damage: readonly (readonly string[])[] = [
    ['-n', node.name, 'route', 'del', '10.0.0.1'],
    ['-n', pod, 'link', 'set', 'eth0', 'down'],
    ['-n', pod, 'addr', 'del', '10.0.0.1/32', 'dev', 'eth0'],
    ['-n', pod, 'link', 'del', 'veth1'],
  ]
  for (const command of damage) {
    ip(...command)
    const heals = async () => (await node.call(checkOf(node, 'c-web', reply))).exit === 0 && node.state().join() === before.join()
    await until(heals, `${command.join(' ')} to be put right`)
    for (const address of pairOf(1)) await until(() => node.reaches(address) && probes(node, address), `${address} to answer`)
  }
})

test('a daemon that was killed while the ledger was lost: pods keep their ENIs, and an ENI of nobody comes back', { skip }, async () => {
  await using node = new NetnsNode([pairOf(1), pairOf(2)], {}, 'dual')
  await node.started()
  for (const name of ['kept', 'gone']) node.cluster.pod(name)
  const reply = await node.add('kept')
  await node.add('gone')
  await node.kill()
  node.loseLedger()
  node.cluster.removePod('gone')
  await node.started()
  await until(() => node.places().join() === 'c-kept,node', 'the ENI of the pod that is gone to come back')
  assert.deepEqual(await node.add('kept'), reply)
  for (const address of pairOf(1)) await until(() => node.reaches(address), `${address} to answer`)
  assert.equal((await node.del('c-kept')).exit, 0)
  assert.deepEqual(node.places(), ['node', 'node'])
})

test('the namespace goes before its DEL: the lease ends all the same', { skip }, async () => {
  await using node = new NetnsNode([['10.0.0.1'], ['10.0.0.2']])
  await node.started()
  node.cluster.pod('web')
  const args = podArgs('default', 'web', 'uid-web')
  assert.equal((await node.add('web')).exit, 0)
  node.removeSandbox('c-web')
  assert.equal((await node.call({ command: 'DEL', containerId: 'c-web', netns: `/run/netns/${node.name}-c-web`, args })).exit, 0)
  await until(() => node.state().length === 0, 'the host end to go')
  assert.deepEqual(ipsOf(await node.add('web', 'c-2')), ['10.0.0.2'])
})
