// SPDX-License-Identifier: Apache-2.0
import { unassign } from '../model/assign.ts'
import { missing } from '../model/errors.ts'
import { type Action, ecs } from './action.ts'
import { refusePrefixes } from './wanted-addresses.ts'

export const unassignPrivateIpAddresses: Action = {
  name: 'UnassignPrivateIpAddresses',
  versions: [ecs],
  regional: true,
  run: ({ state }, params) => {
    const eniId = params.require('NetworkInterfaceId')
    refusePrefixes(params, ['Ipv4PrefixCount', 'Ipv4Prefix'])
    const addresses = params.list('PrivateIpAddress')
    if (addresses.length === 0) throw missing('PrivateIpAddress.N')
    unassign(state, eniId, 'ipv4', addresses)
    return {}
  },
}
