// SPDX-License-Identifier: Apache-2.0
import { CloudError } from '#cloud/errors.ts'
import type { Eni, EniStatus, EniType } from '#cloud/port.ts'
import type { Reply } from '#cloud/reply.ts'
import { parseCidr } from '#net/cidr.ts'
import { type Ipv4, parseIpv4, parseIpv6 } from '#net/ip.ts'
import { parseMac } from '#net/mac.ts'

const statuses: readonly EniStatus[] = ['Creating', 'Available', 'Attaching', 'InUse', 'Detaching', 'Deleting']
const types: readonly EniType[] = ['Primary', 'Secondary', 'Trunk', 'Member']

/**
 * One ENI as CreateNetworkInterface and DescribeNetworkInterfaces write it. The instance stands in InstanceId or in
 * Attachment.InstanceId; an empty Type is Secondary; values outside the known states fail with `BadReply`.
 */
export function eniOf(action: string, r: Reply): Eni {
  const attachment = r.record('Attachment')
  const primary = parseIpv4(r.text('PrivateIpAddress'))
  const secondary = r.records('PrivateIpSets', 'PrivateIpSet').map(s => parseIpv4(s.text('PrivateIpAddress')))
  const ipv4: readonly Ipv4[] = [primary, ...secondary.filter(ip => ip !== primary)]
  const instanceId = r.optional('InstanceId') ?? attachment.optional('InstanceId')
  const trunkEniId = attachment.optional('TrunkNetworkInterfaceId')
  const deviceIndex = attachment.optionalNumber('DeviceIndex') ?? r.optionalNumber('DeviceIndex')
  const creationTime = r.optional('CreationTime')
  return {
    id: r.text('NetworkInterfaceId'),
    status: oneOf(action, 'Status', r.optional('Status') ?? 'Creating', statuses),
    type: oneOf(action, 'Type', r.optional('Type') ?? 'Secondary', types),
    trafficMode: r.optional('NetworkInterfaceTrafficMode') === 'HighPerformance' ? 'HighPerformance' : 'Standard',
    mac: parseMac(r.text('MacAddress')),
    vSwitchId: r.text('VSwitchId'),
    zoneId: r.text('ZoneId'),
    securityGroupIds: r.texts('SecurityGroupIds', 'SecurityGroupId'),
    primaryIp: primary,
    ipv4,
    ipv6: r.records('Ipv6Sets', 'Ipv6Set').map(s => parseIpv6(s.text('Ipv6Address'))),
    ipv4Prefixes: r.records('Ipv4PrefixSets', 'Ipv4PrefixSet').map(s => parseCidr(s.text('Ipv4Prefix'))),
    ipv6Prefixes: r.records('Ipv6PrefixSets', 'Ipv6PrefixSet').map(s => parseCidr(s.text('Ipv6Prefix'))),
    tags: r.records('Tags', 'Tag').map(t => ({
      key: t.optional('TagKey') ?? t.optional('Key') ?? '',
      value: t.optional('TagValue') ?? t.optional('Value') ?? '',
    })),
    ...(instanceId === undefined ? {} : { instanceId }),
    ...(trunkEniId === undefined ? {} : { trunkEniId }),
    ...(deviceIndex === undefined ? {} : { deviceIndex }),
    ...(creationTime === undefined ? {} : { creationTime }),
  }
}

function oneOf<T extends string>(action: string, field: string, value: string, allowed: readonly T[]): T {
  const found = allowed.find(a => a === value)
  if (found === undefined)
    throw new CloudError(action, 'BadReply', `${field} ${JSON.stringify(value)} is unknown; known are ${allowed.join(', ')}`)
  return found
}
