// SPDX-License-Identifier: Apache-2.0
import { pickIpv4, pickIpv6 } from './addresses.ts'
import { requireVSwitch } from './eni.ts'
import { fault } from './errors.ts'
import { nextNumber, resourceId } from './identity.ts'
import type { Balancer, BalancerListener } from './rows.ts'
import type { State } from './state.ts'

export interface NewBalancer {
  /** Chosen by its owner, who finds it again by that. */
  readonly name: string
  readonly scheme: Balancer['scheme']
  /** Where its private addresses come from. */
  readonly vSwitchId: string
  readonly families: readonly (4 | 6)[]
}

/** Public addresses of balancers: 203.0.113.200 … 203.0.113.249, beyond the elastic ones. */
const PUBLIC = { prefix: '203.0.113.', first: 200, last: 249 } as const

/** The balancer of that name; made when there is none. */
export function ensureBalancer(state: State, wanted: NewBalancer): Balancer {
  const found = balancerNamed(state, wanted.name)
  if (found !== undefined) return found
  const vSwitch = requireVSwitch(state, wanted.vSwitchId)
  const seq = nextNumber(state)
  const one = (family: 4 | 6) => ({ count: wanted.families.includes(family) ? 1 : 0 })
  const private4 = wanted.scheme === 'intranet' ? pickIpv4(state, vSwitch, one(4), 'Address') : []
  const balancer: Balancer = {
    id: resourceId(state, 'nlb', seq),
    seq,
    name: wanted.name,
    scheme: wanted.scheme,
    vSwitchId: vSwitch.id,
    private4,
    public4: wanted.scheme === 'internet' && wanted.families.includes(4) ? [freePublic(state)] : [],
    ipv6: pickIpv6(state, vSwitch, one(6), 'Ipv6Address'),
    listeners: [],
  }
  state.put('balancer', balancer)
  return balancer
}

/** What it listens for from now on, and who gets it: all of it. */
export function setListeners(state: State, name: string, listeners: readonly BalancerListener[]): Balancer {
  const balancer = balancerNamed(state, name)
  if (balancer === undefined) throw fault('InvalidResourceId.NotFound', `Balancer ${name} does not exist.`)
  const changed = { ...balancer, listeners }
  if (JSON.stringify(listeners) !== JSON.stringify(balancer.listeners)) state.put('balancer', changed)
  return changed
}

/** Its addresses are free again. A balancer that is not there is deleted already. */
export function deleteBalancer(state: State, name: string): void {
  const balancer = balancerNamed(state, name)
  if (balancer !== undefined) state.drop('balancer', balancer.id)
}

function balancerNamed(state: State, name: string): Balancer | undefined {
  return state.list('balancer').find(b => b.name === name)
}

function freePublic(state: State): string {
  const taken = new Set(state.list('balancer').flatMap(b => b.public4))
  for (let n = PUBLIC.first; n <= PUBLIC.last; n++) if (!taken.has(`${PUBLIC.prefix}${n}`)) return `${PUBLIC.prefix}${n}`
  throw fault('QuotaExceeded', 'No public address is left for a balancer.')
}
