// SPDX-License-Identifier: Apache-2.0
import { fault } from '../model/errors.ts'
import type { Eni } from '../model/rows.ts'
import { type Action, ecs } from './action.ts'
import { eniBody } from './eni-body.ts'
import type { Seen } from './seen.ts'

function membersOf(seen: Seen, eni: Eni): string[] {
  return eni.type === 'Trunk' ? seen.inOrder('eni').flatMap(other => (other.attachment?.trunkEniId === eni.id ? [other.id] : [])) : []
}

export const describeNetworkInterfaceAttribute: Action = {
  name: 'DescribeNetworkInterfaceAttribute',
  versions: [ecs],
  regional: true,
  run: ({ seen }, params) => {
    const id = params.require('NetworkInterfaceId')
    params.oneOf('Attribute', ['attachment', 'basic', 'networkInterfaceTrafficConfig', 'connectionTrackingConfiguration'])
    const eni = seen.get('eni', id)
    if (eni === undefined) throw fault('InvalidEniId.NotFound', `The specified EniId "${id}" is not found.`)
    return eniBody(eni, membersOf(seen, eni))
  },
}
