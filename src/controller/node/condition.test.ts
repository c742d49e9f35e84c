// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { conditionDue, exhaustion, heartbeat, NodeCondition } from '#controller/node/condition.ts'
import type { Pool, PoolEni } from '#ipam/pool.ts'
import { type Node, nodes } from '#kube/reflect/node.ts'
import { realClock } from '#lib/clock.ts'
import { silent } from '#lib/log.ts'
import { parseCidr } from '#net/cidr.ts'
import { KubeModel } from '../../../test/support/kube-model.ts'
import { eni as eniWith, poolWith } from '../../../test/support/pool.ts'

const eni = (count: number, state: 'held' | 'idle', extra: Partial<PoolEni> = {}) => eniWith('eni-1', state.charAt(0).repeat(count), extra)
const pool = (enis: readonly PoolEni[], extra: Partial<Pool> = {}) => poolWith(enis, { capacity4: 3, capacity6: 0, maxEnis: 1, ...extra })
const lack = (p: Pool, free = 9, id = 'vsw-a') => exhaustion({ pool: p, vSwitches: [{ id, availableIpCount: free }], formerVSwitches: [] })

test('a further pod gets an address while one is idle or on its way, or an ENI has room in a vSwitch with addresses', () => {
  assert.equal(lack(pool([eni(3, 'idle')]), 0), undefined)
  assert.equal(lack(pool([eni(2, 'held')])), undefined)
  assert.equal(lack(pool([])), undefined)
  assert.equal(lack(pool([eni(1, 'idle', { status: 'Attaching' })]), 0), undefined)
  const intent = { token: 't', kind: 'assign-ips', eniID: 'eni-1', vSwitchID: 'vsw-a', ipv4Count: 1, ipv6Count: 0, since: '' } as const
  assert.equal(lack(pool([eni(2, 'held')], { intents: [intent] }), 0), undefined)
})

test('nothing is left when every ENI is full, or has room in an exhausted vSwitch only', () => {
  assert.match(lack(pool([eni(3, 'held')])) ?? '', /all 1 ENIs/)
  assert.match(lack(pool([eni(2, 'held')], { maxEnis: 2 }), 0) ?? '', /no free address in vSwitches vsw-a/)
  assert.match(lack(pool([eni(2, 'held')]), 9, 'vsw-b') ?? '', /all 1 ENIs/)
})

test('in dual stack the smaller number of addresses per ENI decides', () => {
  const both = eni(2, 'held')
  const pairs = [...both.addresses, ...both.addresses.map((a, n) => ({ ...a, ip: `fd00::${n}`, family: 6 as const, primary: false }))]
  const uneven = (capacity6: number) => pool([eni(0, 'held', { addresses: pairs })], { stack: 'dual', capacity6 })
  const lackOf = (p: Pool) =>
    exhaustion({ pool: p, vSwitches: [{ id: 'vsw-a', availableIpCount: 9, cidr6: parseCidr('fd00::/64') }], formerVSwitches: [] })
  assert.match(lackOf(uneven(2)) ?? '', /an ENI of this instance type holds 3 and 2$/)
  assert.equal(lackOf(uneven(3)), undefined)
})

const node = (condition?: object): Node => ({
  apiVersion: 'v1',
  kind: 'Node',
  metadata: { name: 'n', uid: 'u' },
  spec: {},
  status: { conditions: [{ type: 'Ready', status: 'True' }, ...(condition === undefined ? [] : [condition as never])] },
})
const start = Date.parse('2026-01-01T00:00:00Z')

test('a change is due at once, else a heartbeat after five minutes, which keeps the time of the change', () => {
  const first = conditionDue(node(), undefined, start + 999)
  assert.deepEqual(first, {
    type: 'SufficientIP',
    status: 'True',
    reason: 'SufficientIP',
    message: 'a further pod can get an address',
    lastHeartbeatTime: '2026-01-01T00:00:00Z',
    lastTransitionTime: '2026-01-01T00:00:00Z',
  })
  assert.equal(conditionDue(node(first), undefined, start + heartbeat - 1), undefined)
  const beat = conditionDue(node(first), undefined, start + heartbeat)
  assert.deepEqual([beat?.lastHeartbeatTime, beat?.lastTransitionTime], ['2026-01-01T00:05:00Z', '2026-01-01T00:00:00Z'])
  const changed = conditionDue(node(first), 'full', start + 1000)
  assert.deepEqual(
    [changed?.status, changed?.reason, changed?.message, changed?.lastTransitionTime],
    ['False', 'InsufficientIP', 'full', '2026-01-01T00:00:01Z'],
  )
  assert.notEqual(conditionDue(node(first), undefined, start - 60_000), undefined)
})

test("the kubelet's conditions stay, a lagging watch causes no second write, and a failure is tried again after a minute", async () => {
  const model = new KubeModel(realClock)
  let time = 0
  const clock = { ...realClock, now: () => time, wall: () => start + time }
  const watched = model.put(nodes, node())
  let writes = 0
  const port = model.client('cp')
  const kube: typeof port = Object.assign(Object.create(port), {
    patch: (...args: Parameters<typeof port.patch>) => {
      writes += 1
      return port.patch(...args)
    },
  })
  const condition = new NodeCondition({ kube, clock, log: silent }, 'n')
  const said = () => model.read(nodes, 'n')?.status?.conditions?.map(c => `${c.type}=${c.status}`)

  await condition.tell(watched, undefined)
  await condition.tell(watched, undefined)
  assert.deepEqual([said(), writes], [['Ready=True', 'SufficientIP=True'], 1])

  model.faults.failNext('forbidden', 1, { verb: 'patch' })
  await condition.tell(watched, 'full')
  await condition.tell(watched, 'full')
  assert.deepEqual([said(), writes], [['Ready=True', 'SufficientIP=True'], 2])
  time = 60_000
  await condition.tell(watched, 'full')
  assert.deepEqual([said(), writes], [['Ready=True', 'SufficientIP=False'], 3])

  // Another node of the same name does not carry it yet.
  model.remove(nodes, 'n')
  const fresh = model.put(nodes, { ...node(), metadata: { name: 'n', uid: 'other' } })
  await condition.tell(fresh, 'full')
  assert.deepEqual([said(), writes], [['Ready=True', 'SufficientIP=False'], 4])
})
