// SPDX-License-Identifier: Apache-2.0
import { deleteEni } from '../model/eni.ts'
import { type Action, ecs } from './action.ts'

export const deleteNetworkInterface: Action = {
  name: 'DeleteNetworkInterface',
  versions: [ecs],
  regional: true,
  run: ({ state }, params) => {
    deleteEni(state, params.require('NetworkInterfaceId'))
    return {}
  },
}
