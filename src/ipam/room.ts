// SPDX-License-Identifier: Apache-2.0
import type { PlanVSwitch } from '#ipam/action.ts'
import { isComing, type Pool, type PoolEni } from '#ipam/pool.ts'
import { podsServed } from '#net/stack.ts'

/** What one vSwitch can still give. */
export interface Left {
  readonly v4: number
  readonly v6: number
}

/** What the vSwitches can still give, by id; less and less while a plan is made. */
export type Supply = Map<string, Left>

/** Addresses for so many pods. */
export interface Share {
  readonly pods: number
  readonly ipv4: number
  readonly ipv6: number
}

export const endless: Left = { v4: Number.POSITIVE_INFINITY, v6: Number.POSITIVE_INFINITY }
const nothing: Left = { v4: 0, v6: 0 }

/** No operation of the cloud counts free IPv6 addresses: there are enough, or none. */
export function supplyOf(vSwitches: readonly PlanVSwitch[]): Supply {
  return new Map(
    vSwitches.map(v => [v.id, { v4: v.availableIpCount, v6: v.cidr6 === undefined || v.ipv6Exhausted === true ? nothing.v6 : endless.v6 }]),
  )
}

export function leftIn(supply: Supply, vSwitchId: string): Left {
  return supply.get(vSwitchId) ?? nothing
}

export function perEni(pool: Pool): number {
  return podsServed(pool.stack, pool.capacity4, pool.capacity6)
}

/**
 * Pods' worth of addresses that the ENI can still take; in dual stack the lone half of a pair needs only its partner. The ENI of a
 * single pod takes nothing: what it seems to lack may only be out of the record for a while, and would be there twice then.
 */
export function roomOn(pool: Pool, e: PoolEni, left: Left): number {
  if (pool.mode === 'exclusive') return 0
  const count = (family: 4 | 6) => e.addresses.filter(a => a.family === family).length
  const v4 = Math.min(pool.capacity4 - count(4), left.v4)
  const v6 = e.v6 ? Math.min(pool.capacity6 - count(6), left.v6) : 0
  return Math.max(0, podsServed(pool.stack, v4 + lone(pool, e, 4), v6 + lone(pool, e, 6)))
}

/** Takes from the supply what the ENI can take for at most `pods` pods. */
export function fill(pool: Pool, e: PoolEni, supply: Supply, pods: number): Share {
  const n = Math.min(pods, roomOn(pool, e, leftIn(supply, e.vSwitchId)))
  const part = (family: 4 | 6) => Math.max(0, n - lone(pool, e, family))
  const share = { pods: n, ipv4: pool.stack === 'ipv6' ? 0 : part(4), ipv6: pool.stack === 'ipv4' ? 0 : part(6) }
  take(supply, e.vSwitchId, share.ipv4)
  return share
}

/**
 * Takes from the supply the room, for at most `pods` pods, of ENIs that are being created or attached. A further ENI would not be
 * there sooner, and would take a slot that is missing later: pods that arrive one by one while the first ENI is attached would
 * use up all of them.
 */
export function fillComing(pool: Pool, supply: Supply, pods: number): number {
  let later = 0
  for (const e of pool.enis.filter(isComing)) later += fill(pool, e, supply, pods - later).pods
  for (const i of pool.intents) {
    if (i.kind === 'create-eni') later += fillNew(pool, i.vSwitchID, { ipv4: i.ipv4Count, ipv6: i.ipv6Count }, supply, pods - later)
  }
  return later
}

/** Takes from the supply what an ENI created with `made` has room for then, for at most `pods` pods. */
export function fillNew(pool: Pool, vSwitchId: string, made: Omit<Share, 'pods'>, supply: Supply, pods: number): number {
  const left = leftIn(supply, vSwitchId)
  const room = podsServed(pool.stack, Math.min(pool.capacity4 - made.ipv4, left.v4), Math.min(pool.capacity6 - made.ipv6, left.v6))
  const n = Math.max(0, Math.min(pods, room))
  if (pool.stack !== 'ipv6') take(supply, vSwitchId, n)
  return n
}

export function take(supply: Supply, vSwitchId: string, ipv4: number): void {
  const left = leftIn(supply, vSwitchId)
  supply.set(vSwitchId, { ...left, v4: left.v4 - ipv4 })
}

/** Idle addresses of this family without a partner of the other: half of a pair whose other half failed or was given back. */
export function lone(pool: Pool, e: PoolEni, family: 4 | 6): number {
  if (pool.stack !== 'dual') return 0
  const idle = (f: 4 | 6) => e.addresses.filter(a => a.family === f && a.state === 'idle').length
  return Math.max(0, idle(family) - idle(family === 4 ? 6 : 4))
}
