// SPDX-License-Identifier: Apache-2.0
import { fault } from '../model/errors.ts'
import type { SecurityGroup } from '../model/rows.ts'
import { type Action, ecs } from './action.ts'

const protocols = { all: 'ALL', tcp: 'TCP', udp: 'UDP', icmp: 'ICMP', icmpv6: 'ICMPv6' } as const

function permission(rule: SecurityGroup['rules'][number]): object {
  const ingress = rule.direction === 'ingress'
  const side = ingress ? 'Source' : 'Dest'
  const cidr = 'cidr' in rule.peer ? rule.peer.cidr : ''
  return {
    Direction: rule.direction,
    IpProtocol: protocols[rule.protocol],
    PortRange: rule.ports === undefined ? '-1/-1' : `${rule.ports[0]}/${rule.ports[1]}`,
    Policy: rule.policy === 'accept' ? 'Accept' : 'Drop',
    Priority: String(rule.priority),
    NicType: 'intranet',
    [`${side}CidrIp`]: cidr.includes(':') ? '' : cidr,
    [ingress ? 'Ipv6SourceCidrIp' : 'Ipv6DestCidrIp']: cidr.includes(':') ? cidr : '',
    [`${side}GroupId`]: 'groupId' in rule.peer ? rule.peer.groupId : '',
  }
}

export const describeSecurityGroupAttribute: Action = {
  name: 'DescribeSecurityGroupAttribute',
  versions: [ecs],
  regional: true,
  run: ({ state, seen }, params) => {
    const id = params.require('SecurityGroupId')
    const direction = params.oneOf('Direction', ['ingress', 'egress', 'all'])
    const group = seen.get('securityGroup', id)
    if (group === undefined) throw fault('InvalidSecurityGroupId.NotFound', `The specified SecurityGroupId "${id}" is not found.`)
    const rules = group.rules.filter(rule => direction === undefined || direction === 'all' || rule.direction === direction)
    return {
      SecurityGroupId: group.id,
      SecurityGroupName: group.name,
      VpcId: group.vpcId,
      RegionId: state.settings.regionId,
      InnerAccessPolicy: group.intraGroup ? 'Accept' : 'Drop',
      Permissions: { Permission: rules.map(permission) },
    }
  },
}
