// SPDX-License-Identifier: Apache-2.0
import type { Eni, Tags } from '../model/rows.ts'

/** ISO 8601 in UTC with seconds, as ENI replies carry times. */
export function isoTime(ms: number): string {
  return `${new Date(ms).toISOString().slice(0, 19)}Z`
}

export function tagSet(tags: Tags): object {
  return { Tag: Object.entries(tags).map(([TagKey, TagValue]) => ({ TagKey, TagValue })) }
}

/** An ENI as CreateNetworkInterface and DescribeNetworkInterfaces tell it (response tables of both in the ECS reference). */
export function eniBody(eni: Eni, memberIds: readonly string[] = []): object {
  const [primary = ''] = eni.ipv4
  return {
    NetworkInterfaceId: eni.id,
    NetworkInterfaceName: eni.name,
    Description: eni.description,
    Status: eni.status,
    Type: eni.type,
    MacAddress: eni.mac,
    VpcId: eni.vpcId,
    VSwitchId: eni.vSwitchId,
    ZoneId: eni.zoneId,
    PrivateIpAddress: primary,
    PrivateIpSets: { PrivateIpSet: eni.ipv4.map((ip, i) => ({ PrivateIpAddress: ip, Primary: i === 0 })) },
    Ipv6Sets: { Ipv6Set: eni.ipv6.map(Ipv6Address => ({ Ipv6Address })) },
    Ipv4PrefixSets: { Ipv4PrefixSet: eni.prefixes.filter(prefix => !prefix.includes(':')).map(Ipv4Prefix => ({ Ipv4Prefix })) },
    Ipv6PrefixSets: { Ipv6PrefixSet: eni.prefixes.filter(prefix => prefix.includes(':')).map(Ipv6Prefix => ({ Ipv6Prefix })) },
    SecurityGroupIds: { SecurityGroupId: eni.securityGroupIds },
    ResourceGroupId: eni.resourceGroupId,
    DeleteOnRelease: eni.deleteOnRelease,
    SourceDestCheck: eni.sourceDestCheck,
    NetworkInterfaceTrafficMode: eni.trafficMode,
    QueueNumber: 1,
    ServiceManaged: false,
    CreationTime: isoTime(eni.createdAt),
    Tags: tagSet(eni.tags),
    ...attachmentFields(eni, memberIds),
  }
}

function attachmentFields(eni: Eni, memberIds: readonly string[]): object {
  if (eni.attachment === undefined) return {}
  const { instanceId, trunkEniId, deviceIndex, networkCardIndex } = eni.attachment
  return {
    InstanceId: instanceId,
    Attachment: {
      InstanceId: instanceId,
      ...(deviceIndex !== undefined && { DeviceIndex: deviceIndex }),
      ...(trunkEniId !== undefined && { TrunkNetworkInterfaceId: trunkEniId }),
      ...(networkCardIndex !== undefined && { NetworkCardIndex: networkCardIndex }),
      ...(memberIds.length > 0 && { MemberNetworkInterfaceIds: { MemberNetworkInterfaceId: memberIds } }),
    },
  }
}
