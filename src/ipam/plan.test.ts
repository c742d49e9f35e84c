// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { CloudAction, Demand, PlanInput } from '#ipam/action.ts'
import { idle, plan, underway } from '#ipam/plan.ts'
import { type AddressState, type Pool, type PoolAddress, type PoolEni, podsOf, serves, sum } from '#ipam/pool.ts'
import type { Stack } from '#net/stack.ts'

/** Mulberry32: a small seeded generator, so that a failing case can be replayed. */
function random(seed: number): () => number {
  let a = seed
  return () => {
    a = (a + 0x6d2b79f5) | 0
    let t = Math.imul(a ^ (a >>> 15), 1 | a)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32
  }
}

const quiet: Demand = { waiting: 0, min: 0, max: 5, warmUpRemaining: 0, adjust: true, reclaimExtra: 0 }
const vsw = (id: string, availableIpCount: number, cidr6 = false): PlanInput['vSwitches'][number] => ({
  id,
  availableIpCount,
  ...(cidr6 ? { cidr6: '2001:db8::/64' as never } : {}),
})

function eni(id: string, states: string, extra: Partial<PoolEni> = {}): PoolEni {
  const names: Readonly<Record<string, AddressState>> = {
    i: 'idle',
    h: 'held',
    m: 'marked',
    a: 'acked',
    r: 'refused',
    x: 'invalid',
    u: 'unasked',
  }
  const addresses = [...states].map((c, n): PoolAddress => ({ ip: `${id}-${n}`, family: 4, primary: n === 0, state: names[c] ?? 'idle' }))
  return {
    id,
    status: 'InUse',
    seen: undefined,
    trunk: false,
    lost: false,
    stuck: false,
    plain: true,
    vSwitchId: 'vsw-a',
    v6: true,
    addresses,
    ...extra,
  }
}

function poolWith(enis: readonly PoolEni[], extra: Partial<Pool> = {}): Pool {
  return { binding: 'local', stack: 'ipv4', enis, intents: [], capacity4: 10, capacity6: 10, maxEnis: 3, trunks: 0, ...extra }
}

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

/** How many pods could be served at best: a naive count, address by address. */
function ceiling(pool: Pool, free: ReadonlyMap<string, number>): number {
  const left = new Map(free)
  let pods = 0
  for (const e of pool.enis.filter(serves)) {
    for (let n = e.addresses.length; n < pool.capacity4 && (left.get(e.vSwitchId) ?? 0) > 0; n++) {
      left.set(e.vSwitchId, (left.get(e.vSwitchId) ?? 0) - 1)
      pods++
    }
  }
  for (let slot = pool.enis.length + pool.intents.filter(i => i.kind === 'create-eni').length; slot < pool.maxEnis; slot++) {
    const [id, n] = [...left].find(([, n]) => n > 0) ?? ['', 0]
    left.set(id, n - Math.min(n, pool.capacity4))
    pods += Math.min(n, pool.capacity4)
  }
  return pods
}

function randomPool(r: () => number): { readonly pool: Pool; readonly free: ReadonlyMap<string, number> } {
  const states = 'iiiihhhhmarxu'
  const enis = Array.from({ length: Math.floor(r() * 4) }, (_, n) => {
    const size = 1 + Math.floor(r() * 10)
    const text = Array.from({ length: size }, () => states[Math.floor(r() * states.length)]).join('')
    const status = ['InUse', 'InUse', 'InUse', 'Attaching', 'Deleting'][Math.floor(r() * 5)] ?? 'InUse'
    return eni(`eni-${n}`, status === 'Attaching' ? 'i'.repeat(size) : text, {
      status,
      vSwitchId: r() < 0.5 ? 'vsw-a' : 'vsw-b',
      plain: r() < 0.9,
    })
  })
  const free = new Map([
    ['vsw-a', Math.floor(r() * 20)],
    ['vsw-b', Math.floor(r() * 20)],
  ])
  return { pool: poolWith(enis, { maxEnis: 4 }), free }
}

const provided = (actions: readonly CloudAction[]) => sum(actions.map(a => (a.do === 'assign' || a.do === 'create-eni' ? a.ipv4 : 0)))

test('property: 3000 random pools against a naive count', () => {
  for (let seed = 1; seed <= 3000; seed++) {
    const r = random(seed)
    const { pool, free } = randomPool(r)
    const min = Math.floor(r() * 6)
    const demand: Demand = { ...quiet, waiting: Math.floor(r() * 12), min, max: min + Math.floor(r() * 6), adjust: true }
    const { actions, later, unmet } = plan({ pool, demand, vSwitches: [...free].map(([id, n]) => vsw(id, n)), formerVSwitches: [] })
    const wanted = Math.max(0, demand.waiting + demand.min - idle(pool) - underway(pool))
    const at = `seed ${seed}: ${JSON.stringify({ actions, demand })}`
    // Everything wanted that can be had, and nothing more. (ENIs that spill to a second vSwitch may have room left: at most one more slot is used.)
    assert.ok(provided(actions) <= wanted, at)
    assert.equal(provided(actions) + later + unmet, wanted, at)
    assert.ok(provided(actions) <= ceiling(pool, free) && (unmet === 0 || provided(actions) >= 0), at)
    if (unmet > 0) assert.equal(provided(actions), ceiling(pool, free), at)
    for (const a of actions) {
      if (a.do === 'assign') assert.ok(a.ipv4 >= 1 && a.ipv4 <= 10, at)
      if (a.do === 'create-eni') {
        const full = pool.enis.filter(serves).every(e => {
          const added = sum(actions.map(x => (x.do === 'assign' && x.eniId === e.id ? x.ipv4 : 0)))
          const spent = sum(actions.map(x => (x.do === 'assign' && x.vSwitchId === e.vSwitchId ? x.ipv4 : 0)))
          return e.addresses.length + added >= pool.capacity4 || spent >= (free.get(e.vSwitchId) ?? 0)
        })
        assert.ok(full, `${at}: a new ENI while an old one has room`)
      }
      if (a.do === 'unassign') {
        const of = pool.enis.find(e => e.id === a.eniId)
        assert.ok(
          a.ipv4.every(ip => of?.addresses.find(x => x.ip === ip)?.state === 'acked'),
          at,
        )
      }
    }
    const marked = new Set(actions.flatMap(a => (a.do === 'mark-release' ? a.addresses : [])))
    const lost = sum(pool.enis.filter(serves).map(e => e.addresses.filter(a => a.state === 'idle' && marked.has(a.ip)).length))
    if (lost > 0) {
      assert.ok(idle(pool) - lost >= demand.waiting + demand.min, `${at}: below the minimum`)
      assert.ok(idle(pool) > demand.waiting + demand.max, `${at}: marks without surplus`)
      assert.equal(provided(actions), 0, at)
    }
  }
})

test('property: the three stacks never plan more than an ENI holds', () => {
  const stacks: readonly Stack[] = ['ipv4', 'ipv6', 'dual']
  for (let seed = 1; seed <= 500; seed++) {
    const r = random(seed)
    const stack = stacks[seed % 3] ?? 'dual'
    const addresses = [4, 6].flatMap(family =>
      Array.from(
        { length: family === 4 ? 1 + Math.floor(r() * 6) : Math.floor(r() * 6) },
        (_, n): PoolAddress => ({
          ip: `${family}-${n}`,
          family: family === 4 ? 4 : 6,
          primary: family === 4 && n === 0,
          state: r() < 0.5 ? 'idle' : 'held',
        }),
      ),
    )
    const e = eni('eni-1', '', { addresses })
    const pool = poolWith([e], { stack, capacity4: 6, capacity6: 6, maxEnis: 1 })
    const demand = { ...quiet, waiting: Math.floor(r() * 8) }
    const { actions, unmet } = plan({ pool, demand, vSwitches: [vsw('vsw-a', 100, true)], formerVSwitches: [] })
    const has = (family: 4 | 6) => addresses.filter(a => a.family === family).length
    const add4 = sum(actions.map(a => (a.do === 'assign' ? a.ipv4 : 0)))
    const add6 = sum(actions.map(a => (a.do === 'assign' ? a.ipv6 : 0)))
    assert.ok(has(4) + add4 <= 6 && has(6) + add6 <= 6, `seed ${seed}`)
    const idleOf = (family: 4 | 6) => addresses.filter(a => a.family === family && a.state === 'idle').length
    const after = stack === 'ipv4' ? idleOf(4) + add4 : stack === 'ipv6' ? idleOf(6) + add6 : Math.min(idleOf(4) + add4, idleOf(6) + add6)
    assert.ok(after >= demand.waiting - unmet, `seed ${seed}: ${stack} ${JSON.stringify(actions)}`)
    assert.ok(podsOf(stack, e, 'idle') >= demand.waiting || unmet > 0 || actions.length > 0, `seed ${seed}`)
  }
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
