// SPDX-License-Identifier: Apache-2.0
import { attachEni } from '../model/attach.ts'
import { type Action, ecs } from './action.ts'

export const attachNetworkInterface: Action = {
  name: 'AttachNetworkInterface',
  versions: [ecs],
  regional: true,
  run: ({ state }, params) => {
    const trunkEniId = params.text('TrunkNetworkInstanceId')
    const networkCardIndex = params.integer('NetworkCardIndex', 0, 15)
    attachEni(state, {
      eniId: params.require('NetworkInterfaceId'),
      instanceId: params.require('InstanceId'),
      ...(trunkEniId !== undefined && { trunkEniId }),
      ...(networkCardIndex !== undefined && { networkCardIndex }),
    })
    return {}
  },
}
