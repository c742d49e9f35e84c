// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { familyOf, parseIp } from '#net/ip.ts'
import type { Stack } from '#net/stack.ts'
import type { TestNode } from './node.ts'
import { vSwitches, World, zone } from './world.ts'

const onlyA = { vswitches: { [zone]: ['vsw-a'] } }

async function nodeOf(w: World, changes: Parameters<World['configure']>[0], type?: string): Promise<TestNode> {
  w.configure(changes)
  w.controlplane()
  return w.join('node-1', type)
}

const names = (n: number, prefix = 'pod') => Array.from({ length: n }, (_, i) => `${prefix}-${i}`)
const served = (node: TestNode) => [...node.pods.values()].filter(p => p.ip !== undefined)
const families = (node: TestNode, name: string) =>
  node.pods
    .get(name)
    ?.ips.map(ip => familyOf(parseIp(ip)))
    .join()

/** At most so many calls in the next minutes. */
async function quiet(w: World, calls: number, minutes: number): Promise<void> {
  const before = w.wire.sent.length
  await w.clock.advance(minutes * 60_000)
  assert.ok(w.wire.sent.length - before < calls, `${w.wire.sent.length - before} calls in ${minutes} minutes of waiting`)
}

test('pods get one address of each family, of one ENI', async () => {
  await using w = await World.make()
  const node = await nodeOf(w, { ip_stack: 'dual' })
  node.add(...names(14))
  await w.atRest()
  for (const { name, ips } of node.pods.values()) {
    assert.equal(families(node, name), '4,6')
    assert.ok(w.enis().some(e => e.ipv4.includes(ips[0] ?? '') && e.ipv6.includes(ips[1] ?? '')))
  }
  for (const name of names(14)) node.remove(name)
  await w.until('the surplus goes in pairs', () => w.enis().every(e => e.ipv4.length <= 4 && e.ipv6.length <= 4))
  await w.atRest()
})

test('fewer IPv6 than IPv4 addresses per ENI: said so, pods get pairs or wait, and one that goes makes room', async () => {
  await using w = await World.make()
  const node = await nodeOf(w, { ip_stack: 'dual' }, 'ecs.lab.uneven')
  await w.until('it is told', () =>
    w
      .warnings('node-1')
      .includes(
        'DualStackLimited: instance type ecs.lab.uneven has 6 IPv4 and 2 IPv6 addresses per ENI: a dual-stack pod needs one of each, so this node serves 4 pods instead of 12; use a type with equal numbers, or ip_stack ipv4',
      ),
  )
  node.add(...names(5))
  await w.until('four are served', () => served(node).length === 4)
  const [fifth] = [...node.pods.values()].filter(p => p.ip === undefined)
  await w.until('the kubelet reads why', () => /all 2 ENIs of the instance are in use and full/.test(fifth?.lastError ?? ''))
  await quiet(w, 40, 5)
  assert.equal(served(node).length, 4)
  assert.equal(w.warnings('node-1').filter(m => m.startsWith('DualStackLimited')).length, 1)
  node.remove(served(node)[0]?.name ?? '')
  await w.atRest()
})

test('an instance type without IPv6 addresses: said so, and nobody is served with less than ip_stack says', async () => {
  for (const [ip_stack, told] of [
    ['dual', /DualStackLimited: instance type ecs\.lab\.tiny .* serves no pod; .*ip_stack ipv4/],
    ['ipv6', /DualStackLimited: instance type ecs\.lab\.tiny has no IPv6 addresses: .*ip_stack ipv4/],
  ] as const) {
    await using w = await World.make()
    const node = await nodeOf(w, { ip_stack }, 'ecs.lab.tiny')
    node.add('pod-1')
    await w.until('it is told', () => w.warnings('node-1').some(m => told.test(m)))
    await quiet(w, 40, 5)
    assert.deepEqual([served(node), w.enis()], [[], []])
    node.remove('pod-1')
    w.configure({})
    await w.until('the Node CR follows', () => w.cr('node-1')?.spec.eni?.enableIPv6 === false)
    node.add('pod-2')
    await w.atRest()
  }
})

test('a vSwitch without IPv6: said so, and no ENI is created there', async () => {
  await using w = await World.make()
  const node = await nodeOf(w, { ip_stack: 'dual', vswitches: { [zone]: [...vSwitches].reverse() } })
  node.add(...names(12))
  await w.atRest()
  assert.ok(
    w.warnings('node-1').some(m => m.includes('vSwitch vsw-b has no IPv6 CIDR block, which ip_stack dual needs')),
    w.warnings('node-1').join('\n'),
  )
  assert.deepEqual([...new Set(w.enis().map(e => e.vSwitchId))], ['vsw-a'])
})

test('no vSwitch with IPv6: nobody is served, and the kubelet reads the way out', async () => {
  await using w = await World.make()
  const node = await nodeOf(w, { ip_stack: 'dual', vswitches: { [zone]: ['vsw-b'] } })
  node.add('pod-1')
  const told = /vsw-b.*IPv6/
  await w.until('it is told', () => w.warnings('node-1').some(m => told.test(m)))
  await quiet(w, 40, 5)
  assert.deepEqual([served(node), w.enis()], [[], []])
  w.configure({ ip_stack: 'dual' })
  await w.atRest()
})

for (const ip_stack of ['dual', 'ipv6'] as const) {
  test(`${ip_stack}: IPv6 addresses run dry where IPv4 does not: said so, and healed by the next vSwitch`, async () => {
    const blocks = [
      { id: 'vsw-a', zone, cidr4: '10.0.0.0/24', cidr6: 'fd00::/125' },
      { id: 'vsw-b', zone, cidr4: '10.0.1.0/24', cidr6: 'fd00:0:0:1::/64' },
      { id: 'vsw-nodes', zone, cidr4: '10.0.3.0/24' },
    ]
    await using w = await World.make({ vSwitches: blocks })
    const node = await nodeOf(w, { ip_stack, min_pool_size: 0, ...onlyA })
    // Four addresses are usable in the block. How many are left no operation of the cloud tells, so a call for more than that fails.
    for (const name of names(4)) {
      node.add(name)
      await w.until('it is served', () => node.served)
    }
    node.add('pod-4', 'pod-5')
    const told = /no free IPv6 address in vSwitches? vsw-a/
    await w.until('the condition says it', () => w.conditions('node-1').some(m => m.startsWith('InsufficientIP') && told.test(m)))
    await w.until('the kubelet reads it', () => [...node.pods.values()].some(p => told.test(p.lastError)))
    await quiet(w, 80, 5)
    assert.equal(served(node).length, 4)
    w.configure({ ip_stack })
    await w.atRest()
    assert.ok(!w.conditions('node-1').some(m => m.startsWith('InsufficientIP')))
  })
}

test('ipv6: pods have IPv6 alone, the primary address of an ENI serves nobody, and the pool is measured in IPv6', async () => {
  await using w = await World.make()
  const node = await nodeOf(w, { ip_stack: 'ipv6', min_pool_size: 2, max_pool_size: 3 })
  await w.until('the minimum is there', () => w.enis().some(e => e.ipv6.length === 2 && e.status === 'InUse'))
  node.add(...names(12))
  await w.atRest()
  for (const e of w.enis()) assert.equal(e.ipv4.length, 1)
  for (const name of names(12)) assert.equal(families(node, name), '6')
  for (const name of names(12)) node.remove(name)
  await w.until('the surplus is given back', () => w.enis().reduce((n, e) => n + e.ipv6.length, 0) <= 3, 600_000)
  await w.atRest()
})

test('ip_stack changes on a living node: pods keep what they have, new ones get what it says, and what is left over goes back', async () => {
  await using w = await World.make()
  const node = await nodeOf(w, onlyA)
  const expected = new Map<string, string>()
  const phase = async (ip_stack: Stack, has: string) => {
    w.configure({ ...onlyA, ip_stack })
    const eni = { enableIPv4: ip_stack !== 'ipv6', enableIPv6: ip_stack !== 'ipv4' }
    await w.until('the Node CR follows', () => JSON.stringify(w.cr('node-1')?.spec.eni ?? {}, Object.keys(eni)) === JSON.stringify(eni))
    const born = names(3, `${expected.size}-${ip_stack}`)
    node.add(...born)
    for (const name of born) expected.set(name, has)
    await w.atRest()
    for (const [name, had] of expected) assert.equal(families(node, name), had, name)
  }
  await phase('ipv4', '4')
  await phase('dual', '4,6')
  await phase('ipv6', '6')
  await phase('ipv4', '4')
  for (const name of [...expected.keys()].slice(0, -3)) node.remove(name)
  await w.until('no IPv6 address is left', () => w.enis().every(e => e.ipv6.length === 0), 600_000)
  await w.atRest()
})
