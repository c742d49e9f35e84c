// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { eniModeLabel } from '#kube/crd/node.ts'
import { nodes } from '#kube/reflect/node.ts'
import type { FaultSpec } from '#sim/fault.ts'
import type { TestNode } from './node.ts'
import { World, zone } from './world.ts'

const names = (count: number, prefix = 'pod') => Array.from({ length: count }, (_, i) => `${prefix}-${i}`)
const served = (node: TestNode) => [...node.pods.values()].filter(p => p.ip !== undefined)

/** A node whose pods have an ENI each: three besides the primary one, unless its type says otherwise. */
async function exclusiveNode(w: World, conf: Parameters<World['configure']>[0] = {}, type?: string): Promise<TestNode> {
  w.configure(conf)
  w.labels = { [eniModeLabel]: 'eniOnly' }
  w.controlplane()
  const node = await w.join('node-1', type)
  w.labels = {}
  await w.until('the node offers its ENIs', () => offered(w).every(n => Number(n) >= 3))
  return node
}

function offered(w: World): readonly (string | undefined)[] {
  const { status, metadata } = w.api.read(nodes, 'node-1') ?? assert.fail('no node')
  return [status?.capacity?.['aliyun/eni'], status?.allocatable?.['aliyun/eni'], metadata.annotations?.['k8s.aliyun.com/max-available-ip']]
}

const condition = (w: World) => w.api.read(nodes, 'node-1')?.status?.conditions?.find(c => c.type === 'SufficientIP')

/** Each pod is the only one on its ENI. */
function alone(w: World, node: TestNode): void {
  const used = [...node.disk.leases.values()].map(l => l.attachment.eni.eniId)
  assert.equal(new Set(used).size, used.length, `two pods have one ENI: ${used.join()}`)
  for (const e of w.enis()) assert.ok(e.ipv4.length === 1 && e.ipv6.length <= 1, `${e.id} has ${[...e.ipv4, ...e.ipv6].join()}`)
}

for (const ip_stack of ['ipv4', 'dual', 'ipv6'] as const)
  test(`${ip_stack}: an ENI is made for each pod when it is scheduled, and goes when it rests`, async () => {
    await using w = await World.make()
    const node = await exclusiveNode(w, { ip_stack })
    await w.clock.advance(60_000)
    assert.deepEqual(w.enis(), [], 'none is kept for nobody')
    node.add(...names(3))
    await w.atRest()
    alone(w, node)
    assert.equal(w.enis().length, 3)
    node.remove('pod-1')
    await w.until('its ENI is deleted', () => w.enis().length === 2)
    assert.deepEqual(
      served(node).map(p => p.name),
      ['pod-0', 'pod-2'],
    )
    for (const name of ['pod-0', 'pod-2']) node.remove(name)
    await w.until('the others too', () => w.enis().length === 0)
    await w.atRest()
    assert.equal(w.wire.count('CreateNetworkInterface'), 3)
    assert.equal(w.wire.count('AssignPrivateIpAddresses') + w.wire.count('AssignIpv6Addresses'), 0)
  })

test('a pod that is deleted as soon as it was scheduled leaves nothing behind', async () => {
  await using w = await World.make()
  const node = await exclusiveNode(w)
  for (const wait of [0, 200, 400, 1_000, 2_500]) {
    node.add('pod-0')
    await w.clock.advance(wait)
    node.remove('pod-0')
    await w.until('its ENI is gone', () => w.enis().length === 0 && Object.keys(w.cr('node-1')?.status?.intents ?? {}).length === 0)
    await w.atRest()
  }
})

test('more pods than ENIs: said so, nothing is made in vain, and the next pod takes the ENI of one that goes', async () => {
  await using w = await World.make()
  const node = await exclusiveNode(w)
  assert.equal(condition(w)?.status, 'True')
  node.add(...names(4))
  const told = /all 3 ENIs of the instance are in use, by one pod each/
  await w.until('three are served', () => served(node).length === 3)
  await w.until('an event says it', () => w.warnings('node-1').some(m => told.test(m)))
  await w.until('the kubelet reads it', () => [...node.pods.values()].some(p => told.test(p.lastError)))
  await w.until('the node says it', () => condition(w)?.status === 'False' && told.test(condition(w)?.message ?? ''))
  const before = w.wire.sent.length
  await w.clock.advance(300_000)
  assert.ok(w.wire.sent.length - before < 40, `${w.wire.sent.length - before} calls in 5 minutes of waiting`)
  node.remove(served(node)[0]?.name ?? '')
  await w.atRest()
  alone(w, node)
  assert.equal(w.wire.count('CreateNetworkInterface'), 3)
})

const failures: readonly (readonly [string, FaultSpec])[] = [
  ...['CreateNetworkInterface', 'AttachNetworkInterface', 'DetachNetworkInterface', 'DeleteNetworkInterface'].flatMap(action => [
    [`${action}: the reply is lost after success`, { kind: 'lost-reply', action, count: 4 }] as const,
    [`${action}: 500 after success`, { kind: 'error', when: 'after', action, count: 4 }] as const,
  ]),
  ['attachment is stuck', { kind: 'stuck', action: 'AttachNetworkInterface', count: 1 }],
]
for (const [what, fault] of failures)
  test(`${what}: one ENI for each pod all the same, and none is left`, async () => {
    await using w = await World.make()
    const node = await exclusiveNode(w)
    const id = w.simulator.addFault(fault)
    node.add(...names(2))
    if (fault.kind === 'stuck') {
      await w.clock.advance(200_000)
      w.simulator.clearFaults(id)
    }
    await w.atRest(600_000)
    alone(w, node)
    for (const name of names(2)) node.remove(name)
    await w.until('the cloud has none', () => w.enis().length === 0, 600_000)
    await w.atRest()
    const tokens = w.wire.of('CreateNetworkInterface').map(s => s.params.get('ClientToken'))
    assert.ok(new Set(tokens).size <= (fault.kind === 'stuck' ? 3 : 2), `${new Set(tokens).size} ENIs for 2 pods`)
  })

test('dual stack, and the vSwitch has no IPv6 address left: said so, and no ENI with half a pair is made', async () => {
  const blocks = [
    { id: 'vsw-a', zone, cidr4: '10.0.0.0/24', cidr6: 'fd00::/125' },
    { id: 'vsw-b', zone, cidr4: '10.0.1.0/24', cidr6: 'fd00:0:0:1::/64' },
    { id: 'vsw-nodes', zone, cidr4: '10.0.3.0/24' },
  ]
  await using w = await World.make({ vSwitches: blocks })
  const only = { ip_stack: 'dual', vswitches: { [zone]: ['vsw-a'] } } as const
  // Four addresses are usable in the block, and the node has seven ENIs for pods.
  const node = await exclusiveNode(w, only, 'ecs.g7.4xlarge')
  node.add(...names(5))
  const told = /no free IPv6 address in vSwitches vsw-a/
  await w.until('an event says it', () => w.warnings('node-1').some(m => told.test(m)))
  await w.until('the node says it', () => told.test(condition(w)?.message ?? ''))
  const before = w.wire.sent.length
  await w.clock.advance(300_000)
  assert.ok(w.wire.sent.length - before < 80, `${w.wire.sent.length - before} calls in 5 minutes of waiting`)
  alone(w, node)
  assert.deepEqual([served(node).length, w.enis().length], [4, 4])
  w.configure({ ...only, vswitches: { [zone]: ['vsw-a', 'vsw-b'] } })
  await w.atRest()
  alone(w, node)
})

test('what somebody assigns to an ENI besides serves nobody, and goes with it', async () => {
  await using w = await World.make()
  const node = await exclusiveNode(w)
  node.add('pod-0')
  await w.atRest()
  await w.simulator.call('AssignPrivateIpAddresses', { NetworkInterfaceId: w.enis()[0]?.id ?? '', SecondaryPrivateIpAddressCount: '2' })
  await w.until('it is found', () => Object.keys(w.nics('node-1')[0]?.ipv4 ?? {}).length === 3)
  node.add('pod-1')
  await w.atRest()
  const used = [...node.disk.leases.values()].map(l => l.attachment.eni.eniId)
  assert.deepEqual([new Set(used).size, w.enis().length], [2, 2])
  for (const name of ['pod-0', 'pod-1']) node.remove(name)
  await w.until('both are deleted', () => w.enis().length === 0)
})

test('the kubelet starts anew and forgets what the node offers: it is offered again', async () => {
  await using w = await World.make()
  const machine = await exclusiveNode(w)
  // A round that waits for the cloud does not delay it.
  w.simulator.addFault({ kind: 'slow', action: 'CreateNetworkInterface', ms: 30_000, count: 1 })
  machine.add('pod-0')
  await w.until('the call is on its way', () => w.wire.count('CreateNetworkInterface') > 0)
  const node = w.api.read(nodes, 'node-1') ?? assert.fail('no node')
  const zero = { 'aliyun/eni': '0' }
  w.api.put(nodes, { ...node, status: { ...node.status, capacity: { ...node.status?.capacity, ...zero } } })
  await w.until('the capacity is back', () => offered(w).every(n => n === '3'), 5_000)
  const { capacity: _, allocatable: __, ...rest } = w.api.read(nodes, 'node-1')?.status ?? {}
  w.api.put(nodes, { ...node, status: rest })
  await w.until('and again', () => offered(w).every(n => n === '3'), 5_000)
})

test('the label comes after the node has joined: its pods go on sharing ENIs, and an event says what to do', async () => {
  await using w = await World.make()
  const node = await w.oneNode()
  const label = (labels: Readonly<Record<string, string>>) => {
    const present = w.api.read(nodes, 'node-1') ?? assert.fail('no node')
    w.api.put(nodes, { ...present, metadata: { ...present.metadata, labels: { ...present.metadata.labels, ...labels } } })
  }
  label({ [eniModeLabel]: 'eniOnly' })
  const told = () =>
    w.warnings('node-1').filter(m => /^EniModeRefused: node node-1 got the label .* its pods go on sharing its ENIs/.test(m))
  await w.until('it is told', () => told().length > 0)
  node.add(...names(8))
  await w.atRest()
  assert.equal(w.enis().length, 1)
  assert.deepEqual(offered(w), [undefined, undefined, '30'])
  assert.equal(told().length, 1)
})

test('shared and exclusive nodes beside each other', async () => {
  await using w = await World.make()
  const exclusive = await exclusiveNode(w)
  const shared = await w.join('node-2')
  exclusive.add(...names(3, 'own'))
  shared.add(...names(5, 'shared'))
  await w.atRest()
  assert.equal(w.nics('node-1').length, 3)
  assert.equal(w.nics('node-2').length, 1)
})

test('ip_stack changes on a node whose ENIs are all in use: pods keep what they have, and ENIs of the old stack make room for new ones', async () => {
  await using w = await World.make()
  const only = { vswitches: { [zone]: ['vsw-a'] } }
  const node = await exclusiveNode(w, only)
  node.add(...names(3))
  await w.atRest()
  for (const ip_stack of ['dual', 'ipv6', 'ipv4'] as const) {
    w.configure({ ...only, ip_stack })
    await w.until('the Node CR follows', () => w.cr('node-1')?.spec.eni?.enableIPv6 === (ip_stack !== 'ipv4'))
    const [eldest] = node.pods.keys()
    node.remove(eldest ?? '')
    // Its ENI rests, and is of no use to a pod of the other stack.
    node.add(`pod-${ip_stack}`)
    await w.atRest(600_000)
    alone(w, node)
    assert.equal(w.enis().length, 3)
  }
})

test('a pod that takes the place of another takes over its ENI', async () => {
  await using w = await World.make()
  const node = await exclusiveNode(w)
  node.add('pod-0')
  await w.atRest()
  for (let i = 1; i < 6; i++) {
    node.remove(`pod-${i - 1}`)
    await w.clock.advance(4_000 * i)
    node.add(`pod-${i}`)
    await w.atRest()
  }
  assert.deepEqual([w.enis().length, w.wire.count('CreateNetworkInterface')], [1, 1])
})
