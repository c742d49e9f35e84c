// SPDX-License-Identifier: Apache-2.0
import type { Priority } from '#cloud/throttle.ts'
import type { CloudAction, Plan, PlanInput } from '#ipam/action.ts'
import { create } from '#ipam/create.ts'
import { isComing, type Pool, type PoolEni, podsOf, podsOn, serves, sum } from '#ipam/pool.ts'
import { fill, fillComing, supplyOf } from '#ipam/room.ts'
import { surplusMarks } from '#ipam/surplus.ts'
import { podsServed } from '#net/stack.ts'

/** Addresses in one assign or unassign call. */
export const batch = 10

export function plan(input: PlanInput): Plan {
  const growth = grow(input)
  // What serves no pod may hold the slot of an ENI that would.
  const settled = growth.actions.length === 0 && growth.later === 0 && (growth.unmet === 0 || input.pool.mode === 'exclusive')
  const marks = settled ? surplusMarks(input) : []
  return {
    actions: [...transitions(input.pool), ...growth.actions, ...releases(input.pool).filter(notWhile(input.pool, growth)), ...marks],
    later: growth.later,
    unmet: growth.unmet,
    reasons: growth.reasons,
  }
}

/**
 * Nothing is unassigned from an ENI while an assign call is open there: that call may give an address again that an earlier
 * unassign without a verdict has taken, and its answer, repeated for its token, would name the address also when it has gone.
 */
function notWhile(pool: Pool, growth: Plan): (a: CloudAction) => boolean {
  const open = new Set([...pool.intents.map(i => i.eniID), ...growth.actions.map(a => (a.do === 'assign' ? a.eniId : undefined))])
  return a => a.do !== 'unassign' || !open.has(a.eniId)
}

/** Pods' worth of addresses that are on their way: intents, ENIs not yet attached, addresses that the daemon is about to unbar. */
export function underway(pool: Pool): number {
  const [attaching, serving] = [pool.enis.filter(isComing), pool.enis.filter(serves)]
  const there = new Set([...attaching, ...serving].map(e => e.id))
  const elsewhere = pool.intents.filter(i => i.eniID === undefined || !there.has(i.eniID))
  return (
    sum(elsewhere.map(i => podsServed(pool.stack, i.ipv4Count, i.ipv6Count))) +
    sum(attaching.map(e => podsSoon(pool, e))) +
    sum(serving.map(e => podsSoon(pool, e) - podsOf(pool, e, 'idle')))
  )
}

/** Pods that the ENI can serve when all that is on its way to it has come; what comes may be the other half of a pair. */
function podsSoon(pool: Pool, e: PoolEni): number {
  const intents = pool.intents.filter(i => i.eniID === e.id)
  const of = (family: 4 | 6) => e.addresses.filter(a => a.family === family && (a.state === 'idle' || a.state === 'barred')).length
  return podsOn(pool, e, of(4) + sum(intents.map(i => i.ipv4Count)), of(6) + sum(intents.map(i => i.ipv6Count)))
}

export function idle(pool: Pool): number {
  return sum(pool.enis.filter(serves).map(e => podsOf(pool, e, 'idle')))
}

/** ENIs between creation and use. */
function transitions(pool: Pool): readonly CloudAction[] {
  return pool.enis.flatMap((e): readonly CloudAction[] => {
    if ((e.status !== 'Available' && e.status !== 'Attaching') || e.lost) return []
    if (e.seen === 'InUse') return [{ do: 'settle', eniId: e.id }]
    if (e.seen !== 'Available') return []
    // One that is not for pods was on its way by somebody else's will when it was taken in: whether it goes on is not ours to say.
    return [e.plain ? { do: 'attach', eniId: e.id, priority: 'pod' } : { do: 'forget-eni', eniId: e.id }]
  })
}

/** Rule 4 of docs/addresses.md: demand is counted once. Existing ENIs are filled before new ones are created. */
function grow({ pool, demand, vSwitches, formerVSwitches }: PlanInput): Plan {
  const counted = idle(pool) + underway(pool)
  const wanted = Math.max(0, demand.waiting + demand.min - counted, demand.warmUpRemaining - underway(pool))
  const urgent = Math.max(0, demand.waiting - counted)
  const supply = supplyOf([...formerVSwitches, ...vSwitches])
  const actions: CloudAction[] = []
  let left = wanted
  const take = (n: number): Priority => {
    const priority = wanted - left < urgent ? 'pod' : 'warm'
    left -= n
    return priority
  }
  const busy = new Set(pool.intents.map(i => i.eniID))
  for (const e of pool.enis.filter(e => serves(e) && !busy.has(e.id)).sort(fillOrder)) {
    const share = fill(pool, e, supply, left)
    if (share.pods === 0) continue
    const priority = take(share.pods)
    for (const call of calls(share)) actions.push({ do: 'assign', eniId: e.id, vSwitchId: e.vSwitchId, ...call, priority })
  }
  const coming = fillComing(pool, supply, left)
  const created = create(pool, vSwitches, supply, left - coming)
  for (const c of created.enis) actions.push({ ...c, priority: take(podsServed(pool.stack, c.ipv4, c.ipv6)) })
  const later = coming + created.later
  const unmet = left - later
  return { actions, later, unmet, reasons: unmet > 0 ? created.reasons : [] }
}

/** Trunks first, then the fullest: what is nearly full becomes full, what is nearly empty can be removed. Ids break ties. */
function fillOrder(a: PoolEni, b: PoolEni): number {
  return Number(b.trunk) - Number(a.trunk) || b.addresses.length - a.addresses.length || (a.id < b.id ? -1 : 1)
}

/** What the daemon's answers allow, and what is left of earlier removals. */
function releases(pool: Pool): readonly CloudAction[] {
  return pool.enis.flatMap(e => (e.status === 'Deleting' || e.status === 'Detaching' ? removal(pool, e) : singles(pool, e)))
}

function singles(pool: Pool, e: PoolEni): readonly CloudAction[] {
  if (e.lost) return lost(pool, e)
  if (e.status !== 'InUse') return []
  if (e.addresses.length === 0 && e.plain) return [{ do: 'mark-release', eniId: e.id, addresses: [], whole: true }]
  const actions: CloudAction[] = []
  const ips = (state: string, primary?: boolean) =>
    e.addresses.filter(a => a.state === state && (primary === undefined || a.primary === primary))
  const refused = ips('refused').map(a => a.ip)
  if (refused.length > 0) actions.push({ do: 'unmark', eniId: e.id, addresses: refused, eni: 'InUse' })
  const ask = [...ips('invalid'), ...(pool.binding === 'local' ? ips('unasked') : [])].map(a => a.ip)
  if (ask.length > 0) actions.push({ do: 'mark-release', eniId: e.id, addresses: ask, whole: false })
  // A primary address never leaves without its ENI: forgotten, it is found again and offered anew (rule 3).
  const primary = [...ips('acked', true), ...(pool.binding === 'central' ? ips('unasked', true) : [])].map(a => a.ip)
  if (primary.length > 0) actions.push({ do: 'forget-addresses', eniId: e.id, addresses: primary })
  const gone = [...ips('acked', false), ...(pool.binding === 'central' ? ips('unasked', false) : [])]
  for (const part of chunks(gone, batch)) {
    const of = (family: 4 | 6) => part.filter(a => a.family === family).map(a => a.ip)
    actions.push({ do: 'unassign', eniId: e.id, ipv4: of(4), ipv6: of(6) })
  }
  return actions
}

/** A lost ENI leaves the record as a whole, when no pod has one of its addresses any more. */
function lost(pool: Pool, e: PoolEni): readonly CloudAction[] {
  if (e.addresses.some(a => a.state === 'held')) return []
  if (pool.binding === 'central') return [{ do: 'forget-eni', eniId: e.id }]
  return [{ do: 'mark-release', eniId: e.id, addresses: e.addresses.map(a => a.ip), whole: true }]
}

/** One refusal cancels; an ENI leaves the instance only when every address was acknowledged with its present mark. */
function removal(pool: Pool, e: PoolEni): readonly CloudAction[] {
  if (e.addresses.some(a => a.state === 'refused' || a.state === 'held')) return cancel(e)
  const ask = e.addresses.filter(a => pool.binding === 'local' && ['unasked', 'idle', 'barred', 'invalid'].includes(a.state)).map(a => a.ip)
  if (ask.length > 0) return [{ do: 'mark-release', eniId: e.id, addresses: ask, whole: true }]
  if (e.addresses.some(a => a.state === 'marked')) return []
  // One that is on its way is asked for again now and then: the way to get a stuck one going, says the ECS reference.
  if (e.seen === 'InUse' || e.seen === 'Detaching') return [{ do: 'detach', eniId: e.id }]
  if (e.seen === 'Available' || e.seen === 'Deleting') return [{ do: 'delete-eni', eniId: e.id }]
  return e.seen === 'absent' ? [{ do: 'forget-eni', eniId: e.id }] : []
}

/** Where the ENI is now decides what becomes of it. */
function cancel(e: PoolEni): readonly CloudAction[] {
  const of = (...states: readonly string[]) => e.addresses.filter(a => states.includes(a.state)).map(a => a.ip)
  if (e.seen === undefined) return []
  if (e.seen !== 'absent')
    return [{ do: 'unmark', eniId: e.id, addresses: of('refused', 'held'), eni: e.seen === 'Available' ? 'Available' : 'InUse' }]
  const refused = of('refused')
  return refused.length === 0 ? [] : [{ do: 'unmark', eniId: e.id, addresses: refused, eni: 'lost' }]
}

/** Splits into calls of at most `batch` addresses per family. */
function calls(total: { readonly ipv4: number; readonly ipv6: number }): readonly { readonly ipv4: number; readonly ipv6: number }[] {
  const part = (n: number, i: number) => Math.max(0, Math.min(batch, n - i * batch))
  const count = Math.ceil(Math.max(total.ipv4, total.ipv6) / batch)
  return Array.from({ length: count }, (_, i) => ({ ipv4: part(total.ipv4, i), ipv6: part(total.ipv6, i) }))
}

function chunks<T>(items: readonly T[], size: number): readonly (readonly T[])[] {
  return Array.from({ length: Math.ceil(items.length / size) }, (_, i) => items.slice(i * size, (i + 1) * size))
}
