// SPDX-License-Identifier: Apache-2.0
import type { CloudAction, PlanInput } from '#ipam/action.ts'
import { isComing, type Pool, type PoolEni, podsOf, serves, sum } from '#ipam/pool.ts'
import { lone } from '#ipam/room.ts'
import { familiesOf, podsServed } from '#net/stack.ts'

/**
 * Rule 5 of docs/addresses.md: of what serves pods only what exceeds the pool's maximum is given back, never so much that fewer
 * than the minimum stay idle; what serves none goes. Nothing is marked while something is on its way: the picture would be half
 * of the truth.
 */
export function surplusMarks({ pool, demand }: PlanInput): readonly CloudAction[] {
  if (!demand.adjust || demand.warmUpRemaining > 0 || isGrowing(pool)) return []
  const candidates = pool.enis.filter(serves).sort(smallestFirst)
  const spare = sum(candidates.map(e => podsOf(pool, e, 'idle'))) - demand.waiting
  // Idle reclaim goes below the maximum; nothing goes below the minimum.
  let may = spare - demand.min
  let surplus = Math.min(may, Math.max(0, spare - demand.max) + demand.reclaimExtra)
  const actions: CloudAction[] = []
  for (const e of candidates) {
    const pods = podsOf(pool, e, 'idle')
    if (removable(e) && (pods === 0 || (!e.resting && surplus > 0 && pods <= may))) {
      actions.push({ do: 'mark-release', eniId: e.id, addresses: e.addresses.map(a => a.ip), whole: true })
      may -= pods
      surplus -= pods
      continue
    }
    // An ENI that one pod has for itself goes whole or not at all.
    if (pool.mode === 'exclusive') continue
    const { victims, released } = singles(pool, e, Math.max(0, surplus))
    if (victims.length === 0) continue
    actions.push({ do: 'mark-release', eniId: e.id, addresses: victims, whole: false })
    surplus -= released
    may -= released
  }
  return actions
}

/** Addresses are on their way: an intent is open, or an ENI is not attached yet. */
export function isGrowing(pool: Pool): boolean {
  return pool.intents.length > 0 || pool.enis.some(isComing)
}

/** A trunk stays while the node lives: its members need it. */
function removable(e: PoolEni): boolean {
  return !e.trunk && e.addresses.length > 0 && e.addresses.every(a => a.state === 'idle')
}

/**
 * Idle addresses for at most `pods` pods, in dual stack as pairs, and those that serve no pod: of a family that is not in the
 * stack, or without a partner. Never the primary one: it leaves with its ENI.
 */
function singles(pool: Pool, e: PoolEni, pods: number): { readonly victims: readonly string[]; readonly released: number } {
  const idle = (family: 4 | 6) => e.addresses.filter(a => a.family === family && a.state === 'idle' && !a.primary).map(a => a.ip)
  const released = Math.min(pods, podsServed(pool.stack, idle(4).length, idle(6).length))
  const of = (family: 4 | 6) => {
    const useless = familiesOf(pool.stack).includes(family) ? lone(pool, e, family) : Number.POSITIVE_INFINITY
    return idle(family).slice(0, released + useless)
  }
  return { victims: [...of(4), ...of(6)], released }
}

/** ENIs that can empty soonest are emptied first; ids break ties. */
function smallestFirst(a: PoolEni, b: PoolEni): number {
  return a.addresses.length - b.addresses.length || (a.id < b.id ? -1 : 1)
}
