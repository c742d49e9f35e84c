// SPDX-License-Identifier: Apache-2.0
import { createEni } from '../model/eni.ts'
import { invalid, missing } from '../model/errors.ts'
import { type Action, ecs } from './action.ts'
import { eniBody } from './eni-body.ts'
import type { Params } from './params.ts'
import { optionalAddresses, refusePrefixes } from './wanted-addresses.ts'

/** The security groups: SecurityGroupId or SecurityGroupIds.N, never both (reference of CreateNetworkInterface). */
function securityGroups(params: Params): string[] {
  const one = params.text('SecurityGroupId')
  const many = params.list('SecurityGroupIds', 16)
  if (one !== undefined && many.length > 0) throw invalid('SecurityGroupId', 'it excludes SecurityGroupIds.N')
  if (one === undefined && many.length === 0) throw missing('SecurityGroupId')
  return one === undefined ? many : [one]
}

export const createNetworkInterface: Action = {
  name: 'CreateNetworkInterface',
  versions: [ecs],
  regional: true,
  idempotent: true,
  run: ({ state }, params) => {
    refusePrefixes(params, ['Ipv4PrefixCount', 'Ipv4Prefix'])
    refusePrefixes(params, ['Ipv6PrefixCount', 'Ipv6Prefix'])
    const primaryIp = params.text('PrimaryIpAddress')
    const eni = createEni(state, {
      vSwitchId: params.require('VSwitchId'),
      type: params.oneOf('InstanceType', ['Secondary', 'Trunk']) ?? 'Secondary',
      securityGroupIds: securityGroups(params),
      ...(primaryIp !== undefined && { primaryIp }),
      ipv4: optionalAddresses(params, 'SecondaryPrivateIpAddressCount', 'PrivateIpAddress', 49),
      ipv6: optionalAddresses(params, 'Ipv6AddressCount', 'Ipv6Address', 10),
      name: params.text('NetworkInterfaceName') ?? '',
      description: params.text('Description') ?? '',
      tags: params.tags(),
      sourceDestCheck: params.boolean('SourceDestCheck') ?? false,
      deleteOnRelease: params.boolean('DeleteOnRelease') ?? true,
      trafficMode: params.oneOf('NetworkInterfaceTrafficMode', ['Standard', 'HighPerformance']) ?? 'Standard',
      resourceGroupId: params.text('ResourceGroupId') ?? '',
    })
    return eniBody(eni)
  },
}
