// SPDX-License-Identifier: Apache-2.0
import { invalid } from '../model/errors.ts'
import type { Eni } from '../model/rows.ts'
import { type Action, ecs } from './action.ts'
import { eniBody } from './eni-body.ts'
import { page } from './page.ts'
import type { Params } from './params.ts'

const statuses = ['Creating', 'Available', 'Attaching', 'InUse', 'Detaching', 'Deleting'] as const
const types = ['Primary', 'Secondary', 'Trunk', 'Member'] as const

/** All filters of the call that are given must hold. */
function filters(params: Params): ((eni: Eni) => boolean)[] {
  const wanted: ((eni: Eni) => boolean)[] = []
  const equals = (name: string, field: (eni: Eni) => string | undefined) => {
    const value = params.text(name)
    if (value !== undefined) wanted.push(eni => field(eni) === value)
  }
  const some = (name: string, field: (eni: Eni) => readonly string[]) => {
    const values = params.list(name)
    if (values.length > 0) wanted.push(eni => field(eni).some(value => values.includes(value)))
  }
  equals('VpcId', eni => eni.vpcId)
  equals('VSwitchId', eni => eni.vSwitchId)
  equals('InstanceId', eni => eni.attachment?.instanceId)
  equals('PrimaryIpAddress', eni => eni.ipv4[0])
  equals('NetworkInterfaceName', eni => eni.name)
  equals('ResourceGroupId', eni => eni.resourceGroupId)
  some('NetworkInterfaceId', eni => [eni.id])
  some('PrivateIpAddress', eni => eni.ipv4)
  some('Ipv6Address', eni => eni.ipv6)
  const status = params.oneOf('Status', statuses)
  if (status !== undefined) wanted.push(eni => eni.status === status)
  const type = params.oneOf('Type', types)
  if (type !== undefined) wanted.push(eni => eni.type === type)
  const group = params.text('SecurityGroupId')
  if (group !== undefined) wanted.push(eni => eni.securityGroupIds.includes(group))
  for (const [key, value] of Object.entries(params.tags()))
    wanted.push(eni => Object.hasOwn(eni.tags, key) && (value === '' || eni.tags[key] === value))
  return wanted
}

export const describeNetworkInterfaces: Action = {
  name: 'DescribeNetworkInterfaces',
  versions: [ecs],
  regional: true,
  run: ({ seen }, params) => {
    const service = params.boolean('ServiceManaged')
    if (service === true) throw invalid('ServiceManaged', 'this account has no ENIs of that kind')
    const wanted = filters(params)
    const rows = seen.inOrder('eni').filter(eni => wanted.every(holds => holds(eni)))
    const { rows: some, fields } = page(params, rows, eni => eni.seq, 500)
    return { ...fields, NetworkInterfaceSets: { NetworkInterfaceSet: some.map(eni => eniBody(eni)) } }
  },
}
