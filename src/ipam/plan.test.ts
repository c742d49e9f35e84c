// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Demand, PlanInput } from '#ipam/action.ts'
import { plan, underway } from '#ipam/plan.ts'
import type { Pool, PoolEni } from '#ipam/pool.ts'
import type { Stack } from '#net/stack.ts'
import { eni, poolWith, quiet, vsw } from '../../test/support/pool.ts'

const run = (
  pool: Pool,
  demand: Partial<Demand> = {},
  vSwitches = [vsw('vsw-a', 100), vsw('vsw-b', 50)],
  formerVSwitches: typeof vSwitches = [],
) => plan({ pool, demand: { ...quiet, ...demand }, vSwitches, formerVSwitches })

test('existing ENIs are filled in calls of ten before a new one is created with all its addresses', () => {
  const p = run(poolWith([eni('eni-1', 'hhhhh')]), { waiting: 8 })
  assert.deepEqual(p.actions, [
    { do: 'assign', eniId: 'eni-1', vSwitchId: 'vsw-a', ipv4: 5, ipv6: 0, priority: 'pod' },
    { do: 'create-eni', vSwitchId: 'vsw-a', type: 'Secondary', ipv4: 3, ipv6: 0, priority: 'pod' },
  ])
})

test('demand is counted once: waiting pods take idle addresses, and what is under way counts', () => {
  const attaching = eni('eni-2', 'iii', { status: 'Attaching', seen: 'Attaching' })
  assert.deepEqual(run(poolWith([eni('eni-1', 'ihi'), attaching]), { waiting: 5 }).actions, [])
  const [only, ...rest] = run(poolWith([eni('eni-1', 'ihi'), attaching]), { waiting: 5, min: 2 }).actions
  assert.deepEqual([only, rest], [{ do: 'assign', eniId: 'eni-1', vSwitchId: 'vsw-a', ipv4: 2, ipv6: 0, priority: 'warm' }, []])
})

test('pods that come while an ENI is on its way wait for its room, and take no further slot', () => {
  const attaching = eni('eni-1', 'ii', { status: 'Attaching', seen: 'Attaching' })
  const some = run(poolWith([attaching]), { waiting: 9 })
  assert.deepEqual([some.actions, some.later, some.unmet], [[], 7, 0])
  const many = run(poolWith([attaching]), { waiting: 14 })
  assert.deepEqual(many.actions, [{ do: 'create-eni', vSwitchId: 'vsw-a', type: 'Secondary', ipv4: 4, ipv6: 0, priority: 'pod' }])
  const intent = { token: 't', kind: 'create-eni', vSwitchID: 'vsw-a', ipv4Count: 2, ipv6Count: 0, since: '' } as const
  assert.deepEqual(run(poolWith([], { intents: [intent] }), { waiting: 9 }).actions, [])
  const dry = run(poolWith([attaching]), { waiting: 9 }, [vsw('vsw-a', 0), vsw('vsw-b', 50)])
  assert.deepEqual(dry.actions, [{ do: 'create-eni', vSwitchId: 'vsw-b', type: 'Secondary', ipv4: 7, ipv6: 0, priority: 'pod' }])
})

test('a dry vSwitch spills to the next one, on a new ENI', () => {
  const p = run(poolWith([eni('eni-1', 'h')]), { waiting: 4 }, [vsw('vsw-a', 0), vsw('vsw-b', 50)])
  assert.deepEqual(p.actions, [{ do: 'create-eni', vSwitchId: 'vsw-b', type: 'Secondary', ipv4: 4, ipv6: 0, priority: 'pod' }])
})

test('what cannot be provided is reported with its reason', () => {
  const dry = run(poolWith([]), { waiting: 4 }, [vsw('vsw-a', 3)])
  assert.deepEqual([dry.unmet, dry.reasons], [1, ['no free address in vSwitches vsw-a']])
  const full = run(poolWith([eni('eni-1', 'hhhhhhhhhh')], { maxEnis: 1 }), { waiting: 2 })
  assert.deepEqual([full.unmet, full.reasons], [2, ['all 1 ENIs of the instance are in use and full']])
})

test('an ENI that the cloud has lost takes no slot and no address, and leaves when no pod has its addresses', () => {
  const full = [eni('eni-1', 'hhhhhhhhhh'), eni('eni-2', 'hhhhhhhhhh')]
  const held = run(poolWith([...full, eni('eni-3', 'xh', { lost: true })]), { waiting: 1 })
  assert.deepEqual(held.actions, [{ do: 'create-eni', vSwitchId: 'vsw-a', type: 'Secondary', ipv4: 1, ipv6: 0, priority: 'pod' }])
  const free = poolWith([eni('eni-3', 'xx', { lost: true })])
  assert.deepEqual(run(free).actions, [{ do: 'mark-release', eniId: 'eni-3', addresses: ['eni-3-0', 'eni-3-1'], whole: true }])
  assert.deepEqual(run({ ...free, binding: 'central' }).actions, [{ do: 'forget-eni', eniId: 'eni-3' }])
})

test('nobody counts on an ENI whose attachment is stuck, but it takes its slot', () => {
  const stuck = eni('eni-1', 'i', { status: 'Attaching', seen: 'Attaching', stuck: true })
  assert.deepEqual(
    run(poolWith([stuck]), { waiting: 1 }).actions.map(a => a.do),
    ['create-eni'],
  )
  const full = run(poolWith([stuck], { maxEnis: 1 }), { waiting: 1 })
  assert.deepEqual([full.actions, full.unmet], [[], 1])
})

test('dual stack: pairs on one ENI, and half a pair only needs its partner', () => {
  const lone = eni('eni-1', 'i', { vSwitchId: 'vsw-6' })
  const p = run(poolWith([lone], { stack: 'dual' }), { waiting: 3 }, [vsw('vsw-6', 9, true)])
  assert.deepEqual(p.actions, [{ do: 'assign', eniId: 'eni-1', vSwitchId: 'vsw-6', ipv4: 2, ipv6: 3, priority: 'pod' }])
  const created = run(poolWith([], { stack: 'dual' }), { waiting: 2 }, [vsw('vsw-4', 9), vsw('vsw-6', 9, true)])
  assert.deepEqual(created.actions, [{ do: 'create-eni', vSwitchId: 'vsw-6', type: 'Secondary', ipv4: 2, ipv6: 2, priority: 'pod' }])
})

test('surplus: a whole ENI when the minimum stays, else single addresses but never the primary one', () => {
  const whole = run(poolWith([eni('eni-1', 'hiiiii'), eni('eni-2', 'iii')]), { max: 3, min: 2 })
  assert.deepEqual(whole.actions, [
    { do: 'mark-release', eniId: 'eni-2', addresses: ['eni-2-0', 'eni-2-1', 'eni-2-2'], whole: true },
    { do: 'mark-release', eniId: 'eni-1', addresses: ['eni-1-1', 'eni-1-2'], whole: false },
  ])
  const single = run(poolWith([eni('eni-1', 'iiihi')]), { max: 1, min: 1 })
  assert.deepEqual(single.actions, [{ do: 'mark-release', eniId: 'eni-1', addresses: ['eni-1-1', 'eni-1-2', 'eni-1-4'], whole: false }])
})

test('an acked address is unassigned, a refused one comes back, a marked one waits', () => {
  assert.deepEqual(run(poolWith([eni('eni-1', 'hamr')])).actions, [
    { do: 'unmark', eniId: 'eni-1', addresses: ['eni-1-3'], eni: 'InUse' },
    { do: 'unassign', eniId: 'eni-1', ipv4: ['eni-1-1'], ipv6: [] },
  ])
})

test('an ENI leaves step by step, only when every address is acknowledged; one refusal cancels', () => {
  const leaving = (states: string, seen: PoolEni['seen']) => run(poolWith([eni('eni-1', states, { status: 'Deleting', seen })])).actions
  assert.deepEqual(leaving('aam', 'InUse'), [])
  assert.deepEqual(leaving('aaa', 'InUse'), [{ do: 'detach', eniId: 'eni-1' }])
  assert.deepEqual(leaving('aaa', 'Detaching'), [{ do: 'detach', eniId: 'eni-1' }])
  assert.deepEqual(leaving('aaa', 'Deleting'), [{ do: 'delete-eni', eniId: 'eni-1' }])
  assert.deepEqual(leaving('aaa', 'Available'), [{ do: 'delete-eni', eniId: 'eni-1' }])
  assert.deepEqual(leaving('aaa', 'absent'), [{ do: 'forget-eni', eniId: 'eni-1' }])
  assert.deepEqual(leaving('ara', 'InUse'), [{ do: 'unmark', eniId: 'eni-1', addresses: ['eni-1-1'], eni: 'InUse' }])
  assert.deepEqual(leaving('aiu', 'InUse'), [{ do: 'mark-release', eniId: 'eni-1', addresses: ['eni-1-1', 'eni-1-2'], whole: true }])
})

test('dual stack and IPv6: an ENI is created with at most ten IPv6 addresses, and filled when it is attached', () => {
  const big = { capacity4: 30, capacity6: 30 }
  const six = [vsw('vsw-6', 99, true)]
  const dual = run(poolWith([], { stack: 'dual', ...big }), { waiting: 30 }, six)
  const create = { do: 'create-eni', vSwitchId: 'vsw-6', type: 'Secondary', ipv4: 10, ipv6: 10, priority: 'pod' } as const
  assert.deepEqual([dual.actions, dual.later, dual.unmet], [[create], 20, 0])
  const only6 = run(poolWith([], { stack: 'ipv6', ...big }), { waiting: 40 }, six)
  assert.deepEqual(
    [only6.actions, only6.later],
    [
      [
        { ...create, ipv4: 1 },
        { ...create, ipv4: 1 },
      ],
      20,
    ],
  )
  const intent = { token: 't', kind: 'create-eni', vSwitchID: 'vsw-6', ipv4Count: 10, ipv6Count: 10, since: '' } as const
  const next = run(poolWith([], { stack: 'dual', ...big, intents: [intent] }), { waiting: 30 }, six)
  assert.deepEqual([next.actions, next.later], [[], 20])
})

test('no IPv6 address is asked of a vSwitch that has none: neither on a new ENI nor on one that is there', () => {
  const there = eni('eni-1', 'ih', { v6: false })
  const dry = { ...vsw('vsw-6', 50, true), ipv6Exhausted: true as const }
  const reasons = (stack: Stack, vSwitches: PlanInput['vSwitches'], enis: readonly PoolEni[] = [there], maxEnis = 3) => {
    const p = plan({ pool: poolWith(enis, { stack, maxEnis }), demand: { ...quiet, waiting: 2 }, vSwitches, formerVSwitches: [] })
    assert.deepEqual([p.actions, p.unmet], [[], 2])
    return p.reasons
  }
  for (const stack of ['dual', 'ipv6'] as const) {
    assert.deepEqual(reasons(stack, [vsw('vsw-a', 50)]), [
      'no vSwitch of the zone has an IPv6 CIDR block (vsw-a): turn IPv6 on for one, or list another one in eni_conf',
    ])
    assert.deepEqual(reasons(stack, [vsw('vsw-a', 50), dry]), ['no free IPv6 address in vSwitches vsw-6'])
    assert.deepEqual(reasons(stack, [vsw('vsw-7', 0, true), dry]), [
      'no free IPv4 address in vSwitches vsw-7; no free IPv6 address in vSwitches vsw-6',
    ])
    assert.deepEqual(reasons(stack, [vsw('vsw-a', 50)], [there], 1), [
      'all 1 ENIs of the instance are in use, and vSwitch vsw-a of eni-1 has no IPv6 CIDR block',
    ])
    assert.deepEqual(reasons(stack, [dry], [eni('eni-1', 'hh', { vSwitchId: 'vsw-6' })], 1), [
      'all 1 ENIs of the instance are in use, and vSwitch vsw-6 of eni-1 has no free IPv6 address',
    ])
  }
})

test('an instance type with unequal numbers: as many pairs as fit, and the reason says why there are not more', () => {
  const uneven = { stack: 'dual', capacity4: 6, capacity6: 2, maxEnis: 2 } as const
  const six = [vsw('vsw-6', 99, true)]
  const create = { do: 'create-eni', vSwitchId: 'vsw-6', type: 'Secondary', ipv4: 2, ipv6: 2, priority: 'pod' }
  const p = run(poolWith([], uneven), { waiting: 5 }, six)
  assert.deepEqual([p.actions, p.unmet], [[create, create], 1])
  assert.deepEqual(p.reasons, [
    'all 2 ENIs of the instance are in use and full: a pod needs an IPv4 and an IPv6 address, and an ENI of this instance type holds 6 and 2',
  ])
  const none = run(poolWith([], { ...uneven, capacity6: 0 }), { waiting: 1 }, six)
  assert.deepEqual([none.actions, none.reasons], [[], ['the instance type has no IPv6 addresses on secondary ENIs']])
})

test('the other half of a pair that is on its way counts once', () => {
  const intent = { token: 't', kind: 'assign-ips', eniID: 'eni-1', vSwitchID: 'vsw-a', ipv4Count: 0, ipv6Count: 3, since: '' } as const
  const pool = poolWith([eni('eni-1', 'iii')], { stack: 'dual', intents: [intent] })
  assert.deepEqual([underway(pool), run(pool, { waiting: 3 }, [vsw('vsw-a', 9, true)]).actions], [3, []])
})

test('what serves no pod of the present stack goes at the next adjustment, the primary address with its ENI', () => {
  const six = (id: string, states: string, n = 0): PoolEni => {
    const e = eni(id, states)
    return { ...e, addresses: e.addresses.map((a, i) => (i < n ? a : { ...a, ip: `${id}-6-${i}`, family: 6, primary: false })) }
  }
  const marks = (stack: Stack, e: PoolEni) => run(poolWith([e], { stack }), { max: 9 }, [vsw('vsw-a', 9, true)]).actions
  const mark = (whole: boolean, ...addresses: readonly string[]) => [{ do: 'mark-release', eniId: 'eni-1', addresses, whole }]
  assert.deepEqual(marks('ipv4', six('eni-1', 'hhih', 2)), mark(false, 'eni-1-6-2'))
  assert.deepEqual(marks('ipv6', six('eni-1', 'iihi', 2)), mark(false, 'eni-1-1'))
  assert.deepEqual(marks('dual', six('eni-1', 'hiiii', 4)), mark(false, 'eni-1-1', 'eni-1-2'))
  assert.deepEqual(marks('dual', six('eni-1', 'iii', 2)), mark(false, 'eni-1-1'), 'the primary one keeps its partner')
  assert.deepEqual(marks('ipv6', eni('eni-1', 'iii')), mark(true, 'eni-1-0', 'eni-1-1', 'eni-1-2'))
  const shared = run(poolWith([six('eni-1', 'hiiiiii', 4)], { stack: 'dual' }), { max: 1 }, [vsw('vsw-a', 9, true)])
  assert.deepEqual(shared.actions, mark(false, 'eni-1-1', 'eni-1-2', 'eni-1-6-4', 'eni-1-6-5'), 'surplus goes in pairs')
})

test('an ENI in a vSwitch that is listed no more still grows; a further one is created in a listed one', () => {
  const p = run(poolWith([eni('eni-1', 'hhhhhhhh')]), { waiting: 4 }, [vsw('vsw-b', 50)], [vsw('vsw-a', 100)])
  assert.deepEqual(
    p.actions.map(a => (a.do === 'assign' || a.do === 'create-eni' ? [a.do, a.vSwitchId, a.ipv4] : a.do)),
    [
      ['assign', 'vsw-a', 2],
      ['create-eni', 'vsw-b', 2],
    ],
  )
})

test('an ENI that is lost on its way in is not waited for, and asked back like any other', () => {
  const lost = eni('eni-1', 'xx', { status: 'Attaching', seen: 'absent', lost: true })
  const p = run(poolWith([lost]), { waiting: 1 })
  assert.deepEqual(
    p.actions.map(a => a.do),
    ['create-eni', 'mark-release'],
  )
  assert.equal(p.later, 0)
  const shrinking = run(poolWith([lost, eni('eni-2', 'iiii')]), { max: 1 }).actions
  assert.ok(shrinking.some(a => a.do === 'mark-release' && a.eniId === 'eni-2'))
})

test("somebody else's ENI whose attachment came to nothing is not attached", () => {
  const foreign = eni('eni-1', 'ii', { status: 'Attaching', seen: 'Available', plain: false })
  assert.deepEqual(run(poolWith([foreign])).actions, [{ do: 'forget-eni', eniId: 'eni-1' }])
})

test('a refusal keeps an ENI that exists; one that is gone is asked for again when its pods have left', () => {
  const removed = (states: string, seen: PoolEni['seen']) => run(poolWith([eni('eni-1', states, { status: 'Deleting', seen })])).actions
  const unmark = { do: 'unmark', eniId: 'eni-1', addresses: ['eni-1-1'] }
  assert.deepEqual(removed('ara', 'InUse'), [{ ...unmark, eni: 'InUse' }])
  assert.deepEqual(removed('ara', 'Available'), [{ ...unmark, eni: 'Available' }])
  assert.deepEqual(removed('ara', 'absent'), [{ ...unmark, eni: 'lost' }])
  assert.deepEqual(removed('ara', undefined), [], 'not known yet')
  assert.deepEqual(removed('aha', 'absent'), [], 'its pod is waited for')
  assert.deepEqual(removed('axa', 'absent'), [{ do: 'mark-release', eniId: 'eni-1', addresses: ['eni-1-1'], whole: true }])
  assert.deepEqual(removed('aaa', 'absent'), [{ do: 'forget-eni', eniId: 'eni-1' }])
})

test('nothing is unassigned from an ENI while addresses are assigned to it', () => {
  const giving = eni('eni-1', 'hhaa')
  const open = { token: 't', kind: 'assign-ips', eniID: 'eni-1', vSwitchID: 'vsw-a', ipv4Count: 1, ipv6Count: 0, since: '' } as const
  const kinds = (pool: Pool, demand: Partial<Demand>) => run(pool, demand).actions.map(a => a.do)
  assert.deepEqual(kinds(poolWith([giving]), {}), ['unassign'])
  assert.deepEqual(kinds(poolWith([giving]), { waiting: 1 }), ['assign'])
  assert.deepEqual(kinds(poolWith([giving], { intents: [open] }), {}), [])
  assert.deepEqual(kinds(poolWith([giving], { intents: [{ ...open, eniID: 'eni-2' }] }), {}), ['unassign'])
})

test('an instance without a free slot says what else is in the way', () => {
  const full = eni('eni-1', 'hhhhhhhhhh')
  const reasons = (...others: readonly PoolEni[]) =>
    run(poolWith([full, ...others], { maxEnis: 1 + others.length }), { waiting: 1 }, [vsw('vsw-a', 100), vsw('vsw-b', 0)]).reasons
  assert.deepEqual(reasons(), ['all 1 ENIs of the instance are in use and full'])
  assert.deepEqual(reasons(eni('eni-2', 'h', { vSwitchId: 'vsw-b' })), [
    'all 2 ENIs of the instance are in use, and vSwitch vsw-b of eni-2 has no free address',
  ])
  assert.deepEqual(reasons(eni('eni-2', 'i', { status: 'Attaching', seen: 'Available', stuck: true })), [
    'all 2 ENIs of the instance are in use and full; eni-2 cannot be attached: see its condition OperationErr',
  ])
})

test('where each pod has an ENI: one is made per pod, with one address or one pair, and none is filled', () => {
  const [exclusive, six] = [{ mode: 'exclusive', capacity4: 1, capacity6: 1 } as const, [vsw('vsw-6', 9, true)]]
  const made = (stack: Stack) => run(poolWith([], { ...exclusive, stack }), { waiting: 2 }, six).actions
  for (const [stack, ipv6] of [
    ['ipv4', 0],
    ['dual', 1],
    ['ipv6', 1],
  ] as const)
    assert.deepEqual(
      made(stack),
      Array(2).fill({ do: 'create-eni', vSwitchId: 'vsw-6', type: 'Secondary', ipv4: 1, ipv6, priority: 'pod' }),
    )
  const [taken, idle, coming] = [eni('eni-1', 'h'), eni('eni-2', 'i'), eni('eni-3', 'i', { status: 'Attaching', seen: 'Attaching' })]
  assert.deepEqual(run(poolWith([taken, idle, coming], exclusive), { waiting: 2 }).actions, [])
  const full = run(poolWith([taken, idle, coming], exclusive), { waiting: 3 })
  assert.deepEqual([full.actions, full.unmet, full.reasons], [[], 1, ['all 3 ENIs of the instance are in use, by one pod each']])
  const leaving = eni('eni-3', 'm', { status: 'Deleting', seen: 'InUse' })
  assert.match(
    run(poolWith([taken, idle, leaving], exclusive), { waiting: 2 }).reasons[0] ?? '',
    /by one pod each; eni-3 is being given back$/,
  )
})

test('where each pod has an ENI: one that a pod has serves no other, whatever else it holds', () => {
  const exclusive = { mode: 'exclusive', capacity4: 1, capacity6: 1, maxEnis: 2 } as const
  const six = [vsw('vsw-a', 9, true)]
  const waiting = (states: string, stack: Stack = 'ipv4') =>
    run(poolWith([eni('eni-1', states)], { ...exclusive, stack }), { waiting: 1 }, six).actions.map(a => a.do)
  assert.deepEqual(waiting('hi'), ['create-eni'], 'somebody assigned another address')
  assert.deepEqual(waiting('mi'), ['create-eni'], 'a pod may have taken what is asked for')
  assert.deepEqual(waiting('ii'), [])
  assert.deepEqual(waiting('h', 'ipv6'), ['create-eni'], 'ip_stack was another one when the pod came')
  assert.deepEqual(waiting('i', 'dual'), ['create-eni'], 'what it lacks may only be out of the record for a while')
  const two = run(poolWith([eni('eni-1', 'ii')], exclusive), { waiting: 2 }, six)
  assert.deepEqual([two.actions.map(a => a.do), two.unmet], [['create-eni'], 0])
})

test('where each pod has an ENI: what no pod needs goes whole, also when it holds the slot of one that pods need', () => {
  const exclusive = { mode: 'exclusive', capacity4: 1, capacity6: 1, maxEnis: 2 } as const
  const whole = (id: string, ...addresses: readonly string[]) => ({ do: 'mark-release', eniId: id, addresses, whole: true })
  assert.deepEqual(run(poolWith([eni('eni-1', 'i'), eni('eni-2', 'hi')], exclusive), { max: 0 }).actions, [whole('eni-1', 'eni-1-0')])
  assert.deepEqual(run(poolWith([eni('eni-1', 'i')], exclusive), { max: 0, waiting: 1 }).actions, [])
  const resting = { resting: true }
  assert.deepEqual(run(poolWith([eni('eni-1', 'i', resting)], exclusive), { max: 0 }).actions, [], 'the next pod may take it over')
  // IPv6 was turned on, and their vSwitch has none.
  const old = [eni('eni-1', 'i', { v6: false }), eni('eni-2', 'h', { v6: false })]
  const p = run(poolWith(old, { ...exclusive, stack: 'dual' }), { waiting: 1 }, [vsw('vsw-6', 9, true)])
  assert.deepEqual([p.actions, p.unmet], [[whole('eni-1', 'eni-1-0')], 1])
  assert.match(p.reasons[0] ?? '', /by one pod each; eni-1 is being given back$/)
})
