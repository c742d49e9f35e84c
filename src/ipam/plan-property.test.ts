// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { CloudAction, Demand } from '#ipam/action.ts'
import { idle, plan, underway } from '#ipam/plan.ts'
import { isComing, type Pool, type PoolAddress, type PoolEni, podsOf, serves, sum } from '#ipam/pool.ts'
import { isGrowing, surplusMarks } from '#ipam/surplus.ts'
import { familiesOf, podsServed, type Stack, stacks } from '#net/stack.ts'
import { generator } from '../../test/support/generator.ts'
import { eni, poolWith, quiet, vsw } from '../../test/support/pool.ts'

/** How many pods more the ENIs could serve: naively, pod by pod. Takes the IPv4 addresses from `left`. */
function roomOf(pool: Pool, enis: readonly PoolEni[], left: Map<string, number>, with6: ReadonlySet<string>): number {
  let pods = 0
  for (const e of enis) {
    const of = (family: 4 | 6, state?: string) =>
      e.addresses.filter(a => a.family === family && (state === undefined || a.state === state)).length
    const there = { 4: of(4), 6: of(6) }
    const lone = { 4: of(4, 'idle') - of(6, 'idle'), 6: of(6, 'idle') - of(4, 'idle') }
    for (;;) {
      const needs = familiesOf(pool.stack).filter(f => pool.stack !== 'dual' || lone[f] <= 0)
      if (needs.includes(4) && (there[4] >= pool.capacity4 || (left.get(e.vSwitchId) ?? 0) <= 0)) break
      if (needs.includes(6) && (there[6] >= pool.capacity6 || !e.v6 || !with6.has(e.vSwitchId))) break
      if (needs.includes(4)) left.set(e.vSwitchId, (left.get(e.vSwitchId) ?? 0) - 1)
      for (const f of needs) there[f]++
      for (const f of [4, 6] as const) if (!needs.includes(f)) lone[f]--
      pods++
    }
  }
  return pods
}

/** How many pods more the node could serve at best: on what is there or comes, then on new ENIs. */
function ceiling(pool: Pool, { free, with6 }: Supply): number {
  const left = new Map(free)
  const creating = pool.intents.map(i => eni(i.token, '', { vSwitchId: i.vSwitchID, addresses: held(i.ipv4Count, i.ipv6Count) }))
  let pods = roomOf(pool, [...pool.enis.filter(serves), ...pool.enis.filter(isComing), ...creating], left, with6)
  for (let slot = pool.enis.length + creating.length; slot < pool.maxEnis; slot++) {
    const [id, n] = [...left].find(([id, n]) => n > 0 && (pool.stack === 'ipv4' || with6.has(id))) ?? ['', 0]
    const fits = podsServed(pool.stack, pool.capacity4, pool.capacity6)
    const served = n === 0 ? 0 : pool.stack === 'ipv6' ? fits : Math.min(n, fits)
    left.set(id, n - (pool.stack === 'ipv6' ? Math.min(n, 1) : served))
    pods += served
  }
  return pods
}

function held(ipv4: number, ipv6: number): readonly PoolAddress[] {
  const of = (family: 4 | 6, count: number) =>
    Array.from(
      { length: count },
      (_, n): PoolAddress => ({ ip: `${family}-${n}`, family, primary: family === 4 && n === 0, state: 'held' }),
    )
  return [...of(4, ipv4), ...of(6, ipv6)]
}

interface Supply {
  readonly free: ReadonlyMap<string, number>
  /** vSwitches with IPv6 addresses. */
  readonly with6: ReadonlySet<string>
}

function randomPool(r: () => number, stack: Stack): { readonly pool: Pool; readonly supply: Supply } {
  const pick = <T>(items: readonly [T, ...T[]]): T => items[Math.floor(r() * items.length)] ?? items[0]
  const [capacity4, capacity6] = pick([
    [10, 10] as const,
    [10, 10] as const,
    [6, 2] as const,
    [2, 6] as const,
    [30, 30] as const,
    [6, 0] as const,
  ])
  const enis = Array.from({ length: Math.floor(r() * 4) }, (_, n) => {
    const status = pick(['InUse', 'InUse', 'InUse', 'Attaching', 'Deleting'])
    const of = (family: 4 | 6, count: number) =>
      Array.from(
        { length: count },
        (_, i): PoolAddress => ({
          ip: `eni-${n}-${family}-${i}`,
          family,
          primary: family === 4 && i === 0,
          state:
            status === 'Attaching'
              ? 'idle'
              : pick(['idle', 'idle', 'idle', 'idle', 'held', 'held', 'held', 'held', 'marked', 'acked', 'refused', 'invalid', 'unasked']),
        }),
      )
    const ipv6 = stack === 'ipv4' && r() < 0.8 ? 0 : Math.floor(r() * (capacity6 + 1))
    return eni(`eni-${n}`, '', {
      status,
      vSwitchId: pick(['vsw-a', 'vsw-b']),
      plain: r() < 0.9,
      v6: r() < 0.8,
      addresses: [...of(4, 1 + Math.floor(r() * capacity4)), ...of(6, ipv6)],
    })
  })
  const ids = ['vsw-a', 'vsw-b']
  const free = new Map(ids.map(id => [id, Math.floor(r() * 20)]))
  const with6 = new Set(ids.filter(() => r() < 0.8))
  const served = Math.max(1, podsServed(stack, capacity4, capacity6))
  const counts = {
    ipv4Count: stack === 'ipv6' ? 1 : Math.ceil(r() * served),
    ipv6Count: stack === 'ipv4' ? 0 : Math.min(capacity6, Math.ceil(r() * served)),
  }
  const intent = { token: 't', kind: 'create-eni', vSwitchID: pick(['vsw-a', 'vsw-b']), ...counts, since: '' } as const
  const intents = r() < 0.2 && enis.length < 4 ? [intent] : []
  return { pool: poolWith(enis, { stack, capacity4, capacity6, maxEnis: 4, intents }), supply: { free, with6 } }
}

/** The pool when the addresses that the actions give have come and those that they mark have gone. */
function after(pool: Pool, actions: readonly CloudAction[]): Pool {
  const marked = new Set(actions.flatMap(a => (a.do === 'mark-release' ? a.addresses : [])))
  const fresh = (ipv4: number, ipv6: number) => held(ipv4, ipv6).map(a => ({ ...a, state: 'idle' as const, primary: false }))
  const grown = pool.enis.map(e => {
    const given = actions.flatMap(a => (a.do === 'assign' && a.eniId === e.id ? fresh(a.ipv4, a.ipv6) : []))
    return { ...e, addresses: [...e.addresses.filter(a => !marked.has(a.ip)), ...given] }
  })
  const created = actions.flatMap((a, n) =>
    a.do === 'create-eni' ? [eni(`new-${n}`, '', { vSwitchId: a.vSwitchId, addresses: fresh(a.ipv4, a.ipv6) })] : [],
  )
  return { ...pool, enis: [...grown, ...created] }
}

/** What every plan must keep to, whatever is wanted. */
function lawful(pool: Pool, actions: readonly CloudAction[], { free, with6 }: Supply): void {
  for (const [id, n] of free) {
    const spent = sum(actions.map(a => ((a.do === 'assign' || a.do === 'create-eni') && a.vSwitchId === id ? a.ipv4 : 0)))
    assert.ok(spent <= n, `${spent} of ${n} addresses of ${id}`)
  }
  for (const a of actions) {
    const of = pool.enis.find(e => 'eniId' in a && e.id === a.eniId)
    if (a.do === 'assign') assert.ok(a.ipv4 <= 10 && a.ipv6 <= 10 && a.ipv4 + a.ipv6 > 0)
    if (a.do === 'create-eni') assert.ok(a.ipv4 >= 1 && a.ipv6 <= 10)
    if (a.do === 'assign' && a.ipv6 > 0) assert.ok(of?.v6)
    if ((a.do === 'assign' || a.do === 'create-eni') && a.ipv6 > 0) assert.ok(with6.has(a.vSwitchId))
    if (a.do === 'unassign') for (const ip of [...a.ipv4, ...a.ipv6]) assert.equal(of?.addresses.find(x => x.ip === ip)?.state, 'acked')
  }
  for (const e of after(pool, actions).enis) {
    const has = (family: 4 | 6) => e.addresses.filter(a => a.family === family).length
    assert.ok(has(4) <= pool.capacity4 && has(6) <= pool.capacity6, `${e.id} holds more than it can`)
  }
}

/** Nothing is given back that pods want; and what can serve no pod is. */
function marksOf(pool: Pool, actions: readonly CloudAction[], demand: Demand): void {
  const left = after(pool, actions)
  const lost = idle(pool) - idle(left)
  if (lost > 0) {
    assert.ok(idle(left) >= demand.waiting + demand.min, 'below the minimum')
    assert.ok(idle(pool) > demand.waiting + demand.max, 'marks without surplus')
  }
  for (const e of left.enis.filter(serves)) {
    const idleOf = (family: 4 | 6) => e.addresses.filter(a => a.family === family && a.state === 'idle')
    const others = ([4, 6] as const).filter(f => !familiesOf(pool.stack).includes(f)).flatMap(idleOf)
    assert.ok(
      others.every(a => a.primary),
      `${e.id} keeps addresses of a family that no pod gets`,
    )
    const primary = idleOf(4).filter(a => a.primary).length
    if (pool.stack === 'dual')
      assert.ok(idleOf(4).length - idleOf(6).length <= primary && idleOf(6).length <= idleOf(4).length, `${e.id} keeps lone halves`)
    assert.ok(
      e.addresses.length === 0 || !e.addresses.every(a => a.state === 'idle') || podsOf(pool, e, 'idle') > 0,
      `${e.id} serves nobody`,
    )
  }
}

for (const stack of stacks)
  test(`property: 3000 random pools of stack ${stack} against a naive count`, () => {
    for (let seed = 1; seed <= 3000; seed++) {
      const r = generator(seed)
      const { pool, supply } = randomPool(r, stack)
      const min = Math.floor(r() * 6)
      const demand: Demand = { ...quiet, waiting: Math.floor(r() * 30), min, max: min + Math.floor(r() * 6), adjust: true }
      const vSwitches = [...supply.free].map(([id, n]) => vsw(id, n, supply.with6.has(id)))
      const p = plan({ pool, demand, vSwitches, formerVSwitches: [] })
      const growth = p.actions.filter(a => a.do === 'assign' || a.do === 'create-eni')
      const provided = idle(after(pool, growth)) - idle(pool)
      const wanted = Math.max(0, demand.waiting + demand.min - idle(pool) - underway(pool))
      const best = ceiling(pool, supply)
      try {
        // Everything wanted that can be had, and nothing more.
        assert.equal(provided + p.later + p.unmet, wanted)
        assert.ok(provided + p.later <= best, `${provided} + ${p.later} of ${best}`)
        if (p.unmet > 0) assert.deepEqual([provided + p.later, p.reasons.length], [best, 1])
        lawful(pool, p.actions, supply)
        if (growth.some(a => a.do === 'create-eni')) {
          const room = roomOf(pool, pool.enis.filter(serves), new Map(supply.free), supply.with6)
          const assigned =
            idle(
              after(
                pool,
                growth.filter(a => a.do === 'assign'),
              ),
            ) - idle(pool)
          assert.equal(assigned, room, 'a new ENI while an old one has room')
        }
        const surplus = surplusMarks({ pool, demand, vSwitches, formerVSwitches: [] })
        if (p.unmet === 0 && p.later === 0 && growth.length === 0 && !isGrowing(pool)) marksOf(pool, surplus, demand)
      } catch (e) {
        throw new Error(`seed ${seed}: ${JSON.stringify({ ...p, demand })}`, { cause: e })
      }
    }
  })

/** A node whose pods have an ENI each, with what should not be there as well: second addresses, lone halves, addresses of another stack. */
function exclusivePool(r: () => number, stack: Stack): Pool {
  const pick = <T>(items: readonly [T, ...T[]]): T => items[Math.floor(r() * items.length)] ?? items[0]
  const states = ['idle', 'idle', 'held', 'held', 'marked', 'refused', 'barred', 'invalid'] as const
  const enis = Array.from({ length: Math.floor(r() * 5) }, (_, n) => {
    const status = pick(['InUse', 'InUse', 'InUse', 'Attaching', 'Deleting'])
    const of = (family: 4 | 6, count: number) =>
      Array.from(
        { length: count },
        (_, i): PoolAddress => ({
          ip: `eni-${n}-${family}-${i}`,
          family,
          primary: family === 4 && i === 0,
          state: status === 'Attaching' ? 'idle' : pick(states),
        }),
      )
    const extra = () => (r() < 0.2 ? 1 : 0)
    const ipv6 = (stack === 'ipv4' ? 0 : 1) + (r() < 0.2 ? -1 : extra())
    return eni(`eni-${n}`, '', { status, v6: r() < 0.8, addresses: [...of(4, 1 + extra()), ...of(6, Math.max(0, ipv6))] })
  })
  return poolWith(enis, { mode: 'exclusive', stack, capacity4: 1, capacity6: 1, maxEnis: 5 })
}

/** Whether a pod could take the ENI. */
function suits(stack: Stack, e: PoolEni): boolean {
  const taken = e.addresses.some(a => ['held', 'refused', 'marked'].includes(a.state))
  return !taken && familiesOf(stack).every(f => e.addresses.some(a => a.family === f && a.state === 'idle'))
}

for (const stack of stacks)
  test(`property: 3000 random nodes of stack ${stack} whose pods have an ENI each`, () => {
    for (let seed = 1; seed <= 3000; seed++) {
      const r = generator(seed)
      const pool = exclusivePool(r, stack)
      const with6 = new Set(r() < 0.7 ? ['vsw-a'] : [])
      const free = new Map([['vsw-a', Math.floor(r() * 6)]])
      const min = Math.floor(r() * 2)
      const demand: Demand = { ...quiet, waiting: Math.floor(r() * 6), min, max: min + Math.floor(r() * 2), adjust: true }
      const vSwitches = [...free].map(([id, n]) => vsw(id, n, with6.has(id)))
      const p = plan({ pool, demand, vSwitches, formerVSwitches: [] })
      try {
        assert.ok(!p.actions.some(a => a.do === 'assign'), 'nothing is added to an ENI')
        const growth = p.actions.filter(a => a.do === 'create-eni')
        for (const a of growth) assert.ok(a.ipv4 === 1 && a.ipv6 === (stack === 'ipv4' ? 0 : 1), 'what one pod needs')
        const left = after(pool, growth)
        const ready = (q: Pool) => q.enis.filter(e => serves(e) && suits(stack, e)).length
        assert.equal(idle(pool), ready(pool))
        const wanted = Math.max(0, demand.waiting + demand.min - idle(pool) - underway(pool))
        assert.equal(ready(left) - ready(pool) + p.later + p.unmet, wanted)
        assert.ok(left.enis.length <= pool.maxEnis && (growth.length === 0 || wanted > 0))
        for (const a of p.actions) if (a.do === 'mark-release' && a.whole) assert.ok(pool.enis.some(e => e.id === a.eniId))
        const marks = surplusMarks({ pool, demand, vSwitches, formerVSwitches: [] })
        for (const a of marks) {
          const of = pool.enis.find(e => 'eniId' in a && e.id === a.eniId)
          assert.ok(a.do === 'mark-release' && a.whole && of?.addresses.every(x => x.state === 'idle'), 'an ENI goes whole, and resting')
        }
        const gone = new Set(marks.flatMap(a => ('eniId' in a ? [a.eniId] : [])))
        const kept = pool.enis.filter(e => serves(e) && suits(stack, e) && !gone.has(e.id)).length
        assert.ok(kept >= Math.min(ready(pool), demand.waiting + demand.min), 'one that a pod waits for is given back')
      } catch (e) {
        throw new Error(`seed ${seed}: ${JSON.stringify({ ...p, demand, pool })}`, { cause: e })
      }
    }
  })
