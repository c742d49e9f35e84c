// SPDX-License-Identifier: Apache-2.0
import type { PlanVSwitch } from '#ipam/action.ts'
import { type Pool, type PoolEni, podsOf, serves } from '#ipam/pool.ts'
import { endless, fillNew, leftIn, perEni, roomOn, type Supply, take } from '#ipam/room.ts'

/** CreateNetworkInterface takes at most so many IPv6 addresses; the rest is assigned when the ENI is attached. */
const createBatch6 = 10

export interface NewEni {
  readonly do: 'create-eni'
  readonly vSwitchId: string
  readonly type: 'Secondary' | 'Trunk'
  readonly ipv4: number
  readonly ipv6: number
}

export interface Creation {
  readonly enis: readonly NewEni[]
  /** Pods' worth of room that the new ENIs have besides the addresses that they are created with. */
  readonly later: number
  /** Why there are not more. */
  readonly reasons: readonly string[]
}

/** New ENIs for `wanted` pods, taken from the supply. */
export function create(pool: Pool, vSwitches: readonly PlanVSwitch[], supply: Supply, wanted: number): Creation {
  const enis: NewEni[] = []
  const creating = pool.intents.filter(i => i.kind === 'create-eni')
  let slots = pool.maxEnis - pool.enis.filter(e => !e.lost).length - creating.length
  let trunks = pool.trunks - pool.enis.filter(e => e.trunk).length - creating.filter(i => i.eniType === 'Trunk').length
  let left = wanted
  let later = 0
  const until = (reason: string): Creation => ({ enis, later, reasons: [reason] })
  if (perEni(pool) === 0) return until(noAddresses(pool))
  while (left > 0) {
    if (slots <= 0) return until(noSlot(pool, supply))
    const v = vSwitches.find(v => lacking(pool, leftIn(supply, v.id)) === undefined)
    if (v === undefined) return until(noVSwitch(pool, vSwitches, supply))
    const pods = Math.min(
      left,
      perEni(pool),
      pool.stack === 'ipv6' ? endless.v4 : leftIn(supply, v.id).v4,
      pool.stack === 'ipv4' ? endless.v6 : createBatch6,
    )
    // Each ENI has an IPv4 address, also where no pod gets one.
    const made = { ipv4: pool.stack === 'ipv6' ? 1 : pods, ipv6: pool.stack === 'ipv4' ? 0 : pods }
    enis.push({ do: 'create-eni', vSwitchId: v.id, type: trunks > 0 ? 'Trunk' : 'Secondary', ...made })
    take(supply, v.id, made.ipv4)
    const rest = fillNew(pool, v.id, made, supply, left - pods)
    later += rest
    left -= pods + rest
    trunks -= 1
    slots -= 1
  }
  return { enis, later, reasons: [] }
}

/** The family of which a new ENI would get no address in the vSwitch. */
function lacking(pool: Pool, { v4, v6 }: { readonly v4: number; readonly v6: number }): 4 | 6 | undefined {
  if (v4 <= 0) return 4
  return pool.stack !== 'ipv4' && v6 <= 0 ? 6 : undefined
}

/** How a free address is called: with its family where there are two. */
function free(pool: Pool, family: 4 | 6): string {
  return pool.stack === 'ipv4' ? 'free address' : `free IPv${family} address`
}

function noAddresses(pool: Pool): string {
  return `the instance type has no IPv${pool.stack === 'ipv4' || (pool.stack === 'dual' && pool.capacity4 === 0) ? 4 : 6} addresses on secondary ENIs`
}

function noVSwitch(pool: Pool, vSwitches: readonly PlanVSwitch[], supply: Supply): string {
  const named = (list: readonly PlanVSwitch[]) => list.map(v => v.id).join(', ')
  if (vSwitches.length === 0) return 'no vSwitch is configured for the zone'
  const capable = vSwitches.filter(v => pool.stack === 'ipv4' || v.cidr6 !== undefined)
  if (capable.length === 0)
    return `no vSwitch of the zone has an IPv6 CIDR block (${named(vSwitches)}): turn IPv6 on for one, or list another one in eni_conf`
  const families = [4, 6] as const
  return families
    .flatMap(family => {
      const dry = capable.filter(v => lacking(pool, leftIn(supply, v.id)) === family)
      return dry.length === 0 ? [] : [`no ${free(pool, family)} in vSwitches ${named(dry)}`]
    })
    .join('; ')
}

function noSlot(pool: Pool, supply: Supply): string {
  const others = pool.enis.filter(e => !e.plain).map(e => e.id)
  const taken = others.length === 0 ? '' : `; ${others.join(', ')} serve no pods and take slots: detach them, or use a larger instance type`
  const stuck = pool.enis.filter(e => e.stuck && !e.lost).map(e => e.id)
  const coming =
    stuck.length === 0
      ? ''
      : `; ${stuck.join(', ')} cannot be attached: see ${stuck.length === 1 ? 'its condition' : 'their conditions'} OperationErr`
  const dry = pool.enis.filter(serves).flatMap(e => {
    const why = dryness(pool, e, supply)
    return why === undefined ? [] : [`vSwitch ${e.vSwitchId} of ${e.id} has no ${why}`]
  })
  const leaving = pool.enis.filter(e => !e.lost && (e.status === 'Deleting' || isUseless(pool, e))).map(e => e.id)
  const soon = leaving.length === 0 ? '' : `; ${leaving.join(', ')} ${leaving.length === 1 ? 'is' : 'are'} being given back`
  const full = pool.mode === 'exclusive' ? 'in use, by one pod each' : `in use and full${uneven(pool)}`
  const what = dry.length === 0 ? full : `in use, and ${dry.join(', ')}`
  return `all ${pool.maxEnis} ENIs of the instance are ${what}${taken}${coming}${soon}`
}

/** It lacks an address that a pod would need beside the others: it goes, since nothing is added to the ENI of a single pod. */
function isUseless(pool: Pool, e: PoolEni): boolean {
  return pool.mode === 'exclusive' && serves(e) && podsOf(pool, e, 'idle') === 0 && e.addresses.every(a => a.state === 'idle')
}

/** What an ENI with room does not get from its vSwitch. */
function dryness(pool: Pool, e: PoolEni, supply: Supply): string | undefined {
  if (roomOn(pool, { ...e, v6: true }, endless) === 0) return undefined
  if (pool.stack !== 'ipv4' && !e.v6) return 'IPv6 CIDR block'
  const left = leftIn(supply, e.vSwitchId)
  if (roomOn(pool, e, { ...left, v6: endless.v6 }) === 0) return free(pool, 4)
  return roomOn(pool, e, left) === 0 ? free(pool, 6) : undefined
}

function uneven(pool: Pool): string {
  if (pool.stack !== 'dual' || pool.capacity4 === pool.capacity6) return ''
  return `: a pod needs an IPv4 and an IPv6 address, and an ENI of this instance type holds ${pool.capacity4} and ${pool.capacity6}`
}
