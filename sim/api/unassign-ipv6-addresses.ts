// SPDX-License-Identifier: Apache-2.0
import { unassign } from '../model/assign.ts'
import { missing } from '../model/errors.ts'
import { type Action, ecs } from './action.ts'
import { refusePrefixes } from './wanted-addresses.ts'

export const unassignIpv6Addresses: Action = {
  name: 'UnassignIpv6Addresses',
  versions: [ecs],
  regional: true,
  run: ({ state }, params) => {
    const eniId = params.require('NetworkInterfaceId')
    refusePrefixes(params, ['Ipv6PrefixCount', 'Ipv6Prefix'])
    const addresses = params.list('Ipv6Address')
    if (addresses.length === 0) throw missing('Ipv6Address.N')
    unassign(state, eniId, 'ipv6', addresses)
    return {}
  },
}
