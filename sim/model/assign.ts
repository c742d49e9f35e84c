// SPDX-License-Identifier: Apache-2.0
import { canonical, pickIpv4, pickIpv6, requireAddressQuota, type Wanted } from './addresses.ts'
import { requireEni, requireGroupCapacity, requireVSwitch } from './eni.ts'
import { requireMove } from './eni-moves.ts'
import { fault, invalid } from './errors.ts'
import type { Eni } from './rows.ts'
import type { State } from './state.ts'
import { limitsOf } from './types.ts'

type Held = 'ipv4' | 'ipv6'

/** How the API calls an address and the number of them. */
const names = {
  ipv4: { field: 'PrivateIpAddress', count: 'SecondaryPrivateIpAddressCount' },
  ipv6: { field: 'Ipv6Address', count: 'Ipv6AddressCount' },
} as const

/** AssignPrivateIpAddresses and AssignIpv6Addresses: all of the wanted addresses or none. Returns the new ones. */
export function assign(state: State, eniId: string, held: Held, wanted: Wanted): string[] {
  const { field, count } = names[held]
  const amount = 'count' in wanted ? wanted.count : wanted.addresses.length
  const { addressesPerCall } = state.settings.quota
  if (amount < 1 || amount > addressesPerCall)
    throw invalid('count' in wanted ? count : field, `1 to ${addressesPerCall} addresses per call, not ${amount}`)
  const eni = requireEni(state, eniId)
  requireMove(eni, 'assign')
  const vSwitch = requireVSwitch(state, eni.vSwitchId)
  requireQuota(state, { ...eni, [held]: [...eni[held], ...Array<string>(amount).fill('')] })
  const added = held === 'ipv4' ? pickIpv4(state, vSwitch, wanted, field) : pickIpv6(state, vSwitch, wanted, field)
  const grown = { ...eni, [held]: [...eni[held], ...added] }
  requireGroupCapacity(state, grown)
  state.put('eni', grown)
  return added
}

/** UnassignPrivateIpAddresses and UnassignIpv6Addresses: InvalidIp.IpUnassigned (403), and no change, when one is not there. */
export function unassign(state: State, eniId: string, held: Held, addresses: readonly string[]): void {
  const { field } = names[held]
  const eni = requireEni(state, eniId)
  requireMove(eni, 'assign')
  const gone = canonical(addresses)
  if (held === 'ipv4' && gone.some(ip => ip === eni.ipv4[0])) throw invalid(field, `${eni.ipv4[0]} is the primary address of ENI ${eniId}`)
  const absent = gone.find(ip => !eni[held].includes(ip))
  if (absent !== undefined) throw fault('InvalidIp.IpUnassigned', `The specified IP "${absent}" is not assigned on this ENI.`)
  state.put('eni', { ...eni, [held]: eni[held].filter(ip => !gone.includes(ip)) })
}

function requireQuota(state: State, eni: Eni): void {
  const instance = eni.attachment === undefined ? undefined : state.get('instance', eni.attachment.instanceId)
  requireAddressQuota(state, eni, instance === undefined ? undefined : limitsOf(state, instance))
}
