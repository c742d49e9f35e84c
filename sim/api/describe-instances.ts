// SPDX-License-Identifier: Apache-2.0
import { invalid } from '../model/errors.ts'
import type { Instance } from '../model/rows.ts'
import { findType } from '../model/types.ts'
import { type Action, type Context, ecs } from './action.ts'
import { isoTime, tagSet } from './eni-body.ts'
import { page } from './page.ts'
import type { Params } from './params.ts'

/** InstanceIds and PrivateIpAddresses are JSON arrays in one parameter (reference of DescribeInstances). */
function jsonList(params: Params, name: string): string[] | undefined {
  const text = params.text(name)
  if (text === undefined) return undefined
  try {
    const list: unknown = JSON.parse(text)
    if (Array.isArray(list) && list.length <= 100 && list.every(item => typeof item === 'string')) return list
  } catch {
    // falls through to the same answer as for JSON of another form
  }
  throw invalid(name, 'it is no JSON array of at most 100 strings')
}

function body({ state, seen }: Context, instance: Instance): object {
  const type = findType(state, instance.type)
  const enis = seen.inOrder('eni').filter(eni => eni.attachment?.instanceId === instance.id && eni.type !== 'Member')
  const primary = enis.find(eni => eni.type === 'Primary')
  return {
    InstanceId: instance.id,
    InstanceName: instance.name,
    HostName: instance.hostName,
    Status: instance.status,
    RegionId: state.settings.regionId,
    ZoneId: instance.zoneId,
    InstanceType: instance.type,
    InstanceTypeFamily: type?.family ?? '',
    InstanceNetworkType: 'vpc',
    Cpu: type?.cpu ?? 0,
    Memory: (type?.memoryGiB ?? 0) * 1024,
    CreationTime: isoTime(instance.createdAt),
    SecurityGroupIds: { SecurityGroupId: instance.securityGroupIds },
    VpcAttributes: {
      VpcId: instance.vpcId,
      VSwitchId: instance.vSwitchId,
      PrivateIpAddress: { IpAddress: primary?.ipv4.slice(0, 1) ?? [] },
      NatIpAddress: '',
    },
    NetworkInterfaces: {
      NetworkInterface: enis.map(eni => ({
        NetworkInterfaceId: eni.id,
        MacAddress: eni.mac,
        PrimaryIpAddress: eni.ipv4[0],
        Type: eni.type,
        PrivateIpSets: { PrivateIpSet: eni.ipv4.map((PrivateIpAddress, i) => ({ PrivateIpAddress, Primary: i === 0 })) },
        Ipv6Sets: { Ipv6Set: eni.ipv6.map(Ipv6Address => ({ Ipv6Address })) },
      })),
    },
    Tags: tagSet(instance.tags),
  }
}

export const describeInstances: Action = {
  name: 'DescribeInstances',
  versions: [ecs],
  regional: true,
  run: (context, params) => {
    const ids = jsonList(params, 'InstanceIds')
    const ips = jsonList(params, 'PrivateIpAddresses')
    const [vSwitch, zone, name, status, vpcId] = ['VSwitchId', 'ZoneId', 'InstanceName', 'Status', 'VpcId'].map(field => params.text(field))
    const tags = Object.entries(params.tags())
    const rows = context.seen
      .inOrder('instance')
      .filter(
        instance =>
          (ids?.includes(instance.id) ?? true) &&
          (ips?.some(ip => context.seen.get('eni', instance.primaryEniId)?.ipv4[0] === ip) ?? true) &&
          (vSwitch ?? instance.vSwitchId) === instance.vSwitchId &&
          (zone ?? instance.zoneId) === instance.zoneId &&
          (name ?? instance.name) === instance.name &&
          (status ?? instance.status) === instance.status &&
          (vpcId ?? instance.vpcId) === instance.vpcId &&
          tags.every(([key, value]) => Object.hasOwn(instance.tags, key) && (value === '' || instance.tags[key] === value)),
      )
    const { rows: some, fields } = page(params, rows, instance => instance.seq, 100)
    return { ...fields, Instances: { Instance: some.map(instance => body(context, instance)) } }
  },
}
