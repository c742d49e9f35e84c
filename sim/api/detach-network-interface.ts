// SPDX-License-Identifier: Apache-2.0
import { detachEni } from '../model/attach.ts'
import { type Action, ecs } from './action.ts'

export const detachNetworkInterface: Action = {
  name: 'DetachNetworkInterface',
  versions: [ecs],
  regional: true,
  run: ({ state }, params) => {
    detachEni(state, { eniId: params.require('NetworkInterfaceId'), instanceId: params.require('InstanceId') })
    return {}
  },
}
