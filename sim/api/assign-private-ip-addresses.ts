// SPDX-License-Identifier: Apache-2.0
import { assign } from '../model/assign.ts'
import { type Action, ecs } from './action.ts'
import { wantedAddresses } from './wanted-addresses.ts'

export const assignPrivateIpAddresses: Action = {
  name: 'AssignPrivateIpAddresses',
  versions: [ecs],
  regional: true,
  idempotent: true,
  run: ({ state }, params) => {
    const eniId = params.require('NetworkInterfaceId')
    const wanted = wantedAddresses(params, 'SecondaryPrivateIpAddressCount', 'PrivateIpAddress', ['Ipv4PrefixCount', 'Ipv4Prefix'])
    const addresses = assign(state, eniId, 'ipv4', wanted)
    return { AssignedPrivateIpAddressesSet: { NetworkInterfaceId: eniId, PrivateIpSet: { PrivateIpAddress: addresses } } }
  },
}
