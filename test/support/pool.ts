// SPDX-License-Identifier: Apache-2.0
import type { Demand, PlanVSwitch } from '#ipam/action.ts'
import type { AddressState, Pool, PoolAddress, PoolEni } from '#ipam/pool.ts'
import { parseCidr } from '#net/cidr.ts'

/** Pools of addresses as the planner sees them. */

export const quiet: Demand = { waiting: 0, min: 0, max: 5, warmUpRemaining: 0, adjust: true, reclaimExtra: 0 }
export const vsw = (id: string, availableIpCount: number, cidr6 = false): PlanVSwitch => ({
  id,
  availableIpCount,
  ...(cidr6 ? { cidr6: parseCidr('2001:db8::/64') } : {}),
})

export function eni(id: string, states: string, extra: Partial<PoolEni> = {}): PoolEni {
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
    resting: false,
    plain: true,
    vSwitchId: 'vsw-a',
    v6: true,
    addresses,
    ...extra,
  }
}

export function poolWith(enis: readonly PoolEni[], extra: Partial<Pool> = {}): Pool {
  return {
    binding: 'local',
    mode: 'shared',
    stack: 'ipv4',
    enis,
    intents: [],
    capacity4: 10,
    capacity6: 10,
    maxEnis: 3,
    trunks: 0,
    ...extra,
  }
}
