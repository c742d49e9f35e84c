// SPDX-License-Identifier: Apache-2.0
import type { Priority } from '#cloud/throttle.ts'
import type { CloudAction, Plan, PlanInput } from '#ipam/action.ts'
import { isComing, type Pool, type PoolEni, podsOf, serves, sum } from '#ipam/pool.ts'
import { surplusMarks } from '#ipam/surplus.ts'
import { podsServed } from '#net/stack.ts'

/** Addresses in one assign or unassign call. */
export const batch = 10

export function plan(input: PlanInput): Plan {
  const growth = grow(input)
  const marks = growth.actions.length === 0 && growth.unmet === 0 && growth.later === 0 ? surplusMarks(input) : []
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
  const attaching = pool.enis.filter(isComing)
  return (
    sum(pool.intents.map(i => podsServed(pool.stack, i.ipv4Count, i.ipv6Count))) +
    sum(attaching.map(e => podsOf(pool.stack, e, 'idle', 'barred'))) +
    sum(pool.enis.filter(serves).map(e => podsOf(pool.stack, e, 'idle', 'barred') - podsOf(pool.stack, e, 'idle')))
  )
}

export function idle(pool: Pool): number {
  return sum(pool.enis.filter(serves).map(e => podsOf(pool.stack, e, 'idle')))
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
  const coming = idle(pool) + underway(pool)
  const wanted = Math.max(0, demand.waiting + demand.min - coming, demand.warmUpRemaining - underway(pool))
  const urgent = Math.max(0, demand.waiting - coming)
  const free = new Map([...formerVSwitches, ...vSwitches].map(v => [v.id, v.availableIpCount]))
  const actions: CloudAction[] = []
  let left = wanted
  const take = (n: number): Priority => {
    const priority = wanted - left < urgent ? 'pod' : 'warm'
    left -= n
    return priority
  }
  const busy = new Set(pool.intents.map(i => i.eniID))
  for (const e of pool.enis.filter(e => serves(e) && !busy.has(e.id)).sort(fillOrder)) {
    const pods = Math.min(left, roomOn(pool, e, free.get(e.vSwitchId) ?? 0))
    if (pods <= 0) continue
    const add = addressesFor(pool, e, pods)
    const priority = take(pods)
    free.set(e.vSwitchId, (free.get(e.vSwitchId) ?? 0) - add.ipv4)
    for (const call of calls(add)) actions.push({ do: 'assign', eniId: e.id, vSwitchId: e.vSwitchId, ...call, priority })
  }
  const later = Math.min(left, roomComing(pool, free))
  const created = create(pool, vSwitches, free, left - later)
  for (const c of created.enis) actions.push({ ...c, priority: take(podsServed(pool.stack, c.ipv4, c.ipv6)) })
  const unmet = Math.max(0, left - later)
  return { actions, later, unmet, reasons: unmet > 0 ? created.reasons : [] }
}

/**
 * Pods' worth of room on ENIs that are being created or attached. A further ENI would not be there sooner, and would take a
 * slot that is missing later: pods that arrive one by one while the first ENI is attached would use up all of them.
 */
function roomComing(pool: Pool, free: ReadonlyMap<string, number>): number {
  const attaching = pool.enis.filter(isComing)
  const perEni = podsServed(pool.stack, pool.capacity4, pool.capacity6)
  const creating = pool.intents.filter(i => i.kind === 'create-eni')
  return (
    sum(attaching.map(e => Math.max(0, roomOn(pool, e, free.get(e.vSwitchId) ?? 0)))) +
    sum(creating.map(i => Math.min(perEni - podsServed(pool.stack, i.ipv4Count, i.ipv6Count), free.get(i.vSwitchID) ?? 0)))
  )
}

/** Trunks first, then the fullest: what is nearly full becomes full, what is nearly empty can be removed. Ids break ties. */
function fillOrder(a: PoolEni, b: PoolEni): number {
  return Number(b.trunk) - Number(a.trunk) || b.addresses.length - a.addresses.length || (a.id < b.id ? -1 : 1)
}

/** Pods' worth of addresses that the ENI can still take; in dual stack the lone half of a pair needs only its partner. */
function roomOn(pool: Pool, e: PoolEni, vSwitchFree: number): number {
  const count = (family: 4 | 6) => e.addresses.filter(a => a.family === family).length
  const v4 = Math.min(pool.capacity4 - count(4), vSwitchFree)
  const v6 = pool.capacity6 - count(6)
  return pool.stack === 'dual' ? Math.min(v4 + imbalance(e, 4), v6 + imbalance(e, 6)) : podsServed(pool.stack, v4, v6)
}

/** Idle addresses of this family without a partner of the other: half of a pair whose other half failed or was given back. */
function imbalance(e: PoolEni, family: 4 | 6): number {
  const of = (f: 4 | 6) => e.addresses.filter(a => a.family === f && a.state === 'idle').length
  return Math.max(0, of(family) - of(family === 4 ? 6 : 4))
}

function addressesFor(pool: Pool, e: PoolEni, pods: number): { readonly ipv4: number; readonly ipv6: number } {
  if (pool.stack === 'ipv4') return { ipv4: pods, ipv6: 0 }
  if (pool.stack === 'ipv6') return { ipv4: 0, ipv6: pods }
  return { ipv4: Math.max(0, pods - imbalance(e, 4)), ipv6: Math.max(0, pods - imbalance(e, 6)) }
}

interface NewEni {
  readonly do: 'create-eni'
  readonly vSwitchId: string
  readonly type: 'Secondary' | 'Trunk'
  readonly ipv4: number
  readonly ipv6: number
}

function create(
  pool: Pool,
  vSwitches: PlanInput['vSwitches'],
  free: Map<string, number>,
  wanted: number,
): { readonly enis: readonly NewEni[]; readonly reasons: readonly string[] } {
  const enis: NewEni[] = []
  const creating = pool.intents.filter(i => i.kind === 'create-eni')
  let slots = pool.maxEnis - pool.enis.filter(e => !e.lost).length - creating.length
  let trunks = pool.trunks - pool.enis.filter(e => e.trunk).length - creating.filter(i => i.eniType === 'Trunk').length
  const perEni = podsServed(pool.stack, pool.capacity4, pool.capacity6)
  if (perEni === 0) return { enis, reasons: [`the instance type has no ${pool.stack} addresses on secondary ENIs`] }
  let left = wanted
  while (left > 0) {
    if (slots <= 0) return { enis, reasons: [noSlot(pool, free)] }
    const v = vSwitches.find(v => (free.get(v.id) ?? 0) > 0 && (pool.stack === 'ipv4' || v.cidr6 !== undefined))
    if (v === undefined) {
      const named = vSwitches.map(v => v.id).join(', ')
      return { enis, reasons: [named === '' ? 'no vSwitch is configured for the zone' : `no free address in vSwitches ${named}`] }
    }
    const available = free.get(v.id) ?? 0
    const pods = Math.min(left, perEni, pool.stack === 'ipv6' ? perEni : available)
    const ipv4 = pool.stack === 'ipv6' ? 1 : pods
    enis.push({ do: 'create-eni', vSwitchId: v.id, type: trunks > 0 ? 'Trunk' : 'Secondary', ipv4, ipv6: pool.stack === 'ipv4' ? 0 : pods })
    free.set(v.id, available - ipv4)
    trunks -= 1
    slots -= 1
    left -= pods
  }
  return { enis, reasons: [] }
}

function noSlot(pool: Pool, free: ReadonlyMap<string, number>): string {
  const others = pool.enis.filter(e => !e.plain).map(e => e.id)
  const taken = others.length === 0 ? '' : `; ${others.join(', ')} serve no pods and take slots: detach them, or use a larger instance type`
  const stuck = pool.enis.filter(e => e.stuck && !e.lost).map(e => e.id)
  const coming =
    stuck.length === 0
      ? ''
      : `; ${stuck.join(', ')} cannot be attached: see ${stuck.length === 1 ? 'its condition' : 'their conditions'} OperationErr`
  const dry = pool.enis.filter(e => serves(e) && roomOn(pool, e, Number.POSITIVE_INFINITY) > 0 && (free.get(e.vSwitchId) ?? 0) <= 0)
  const what =
    dry.length === 0 ? 'in use and full' : `in use, and ${dry.map(e => `vSwitch ${e.vSwitchId} of ${e.id}`).join(', ')} has no free address`
  return `all ${pool.maxEnis} ENIs of the instance are ${what}${taken}${coming}`
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
