// SPDX-License-Identifier: Apache-2.0
import { assign } from '../model/assign.ts'
import { type Action, ecs } from './action.ts'
import { wantedAddresses } from './wanted-addresses.ts'

export const assignIpv6Addresses: Action = {
  name: 'AssignIpv6Addresses',
  versions: [ecs],
  regional: true,
  idempotent: true,
  run: ({ state }, params) => {
    const eniId = params.require('NetworkInterfaceId')
    const wanted = wantedAddresses(params, 'Ipv6AddressCount', 'Ipv6Address', ['Ipv6PrefixCount', 'Ipv6Prefix'])
    return { NetworkInterfaceId: eniId, Ipv6Sets: { Ipv6Address: assign(state, eniId, 'ipv6', wanted) } }
  },
}
