// SPDX-License-Identifier: Apache-2.0
import { eniOf } from '#cloud/eni.ts'
import { CloudError, isCloudError } from '#cloud/errors.ts'
import type { Cloud, DescribeEnis, Eni, InstanceType, Tag } from '#cloud/port.ts'
import { type Reply, replyOf } from '#cloud/reply.ts'
import type { Rpc, RpcParameters } from '#cloud/transport.ts'
import { parseIpv4, parseIpv6 } from '#net/ip.ts'

/** Ids that one DescribeNetworkInterfaces may name. */
export const idsPerDescribe = 100
const enisPerPage = 500

export type EcsCloud = Omit<Cloud, 'describeVSwitch'>

/** ECS 2014-05-26: one method per operation, no retries, no limits (execute.ts adds them). */
export function makeEcs(rpc: Rpc): EcsCloud {
  const call = async (action: string, parameters: RpcParameters) => replyOf(action, await rpc(action, parameters))
  return {
    async createEni(r) {
      const action = 'CreateNetworkInterface'
      const reply = await call(action, {
        ClientToken: r.clientToken,
        VSwitchId: r.vSwitchId,
        InstanceType: r.type,
        ...(r.trafficMode === 'HighPerformance' ? { NetworkInterfaceTrafficMode: 'HighPerformance' } : {}),
        SecurityGroupIds: r.securityGroupIds,
        SecondaryPrivateIpAddressCount: r.ipv4Count > 1 ? r.ipv4Count - 1 : undefined,
        Ipv6AddressCount: r.ipv6Count > 0 ? r.ipv6Count : undefined,
        ResourceGroupId: r.resourceGroupId,
        Description: r.description,
        SourceDestCheck: false,
        DeleteOnRelease: true,
        Tag: tagsOf(r.tags),
      })
      return eniOf(action, reply)
    },
    async attachEni(r) {
      await call('AttachNetworkInterface', {
        NetworkInterfaceId: r.eniId,
        InstanceId: r.instanceId,
        TrunkNetworkInstanceId: r.trunkEniId,
        NetworkCardIndex: r.networkCardIndex,
      })
    },
    async detachEni(r) {
      await succeedWhenGone(() =>
        call('DetachNetworkInterface', { NetworkInterfaceId: r.eniId, InstanceId: r.instanceId, TrunkNetworkInstanceId: r.trunkEniId }),
      )
    },
    async deleteEni(eniId) {
      await succeedWhenGone(() => call('DeleteNetworkInterface', { NetworkInterfaceId: eniId }))
    },
    describeEnis: r => describe(call, r),
    async assignIpv4(r) {
      const reply = await call('AssignPrivateIpAddresses', {
        ClientToken: r.clientToken,
        NetworkInterfaceId: r.eniId,
        SecondaryPrivateIpAddressCount: r.count,
      })
      return reply.record('AssignedPrivateIpAddressesSet').texts('PrivateIpSet', 'PrivateIpAddress').map(parseIpv4)
    },
    async assignIpv6(r) {
      const reply = await call('AssignIpv6Addresses', {
        ClientToken: r.clientToken,
        NetworkInterfaceId: r.eniId,
        Ipv6AddressCount: r.count,
      })
      return reply.texts('Ipv6Sets', 'Ipv6Address').map(parseIpv6)
    },
    async unassignIpv4(r) {
      await unassignAll(r.addresses, addresses =>
        call('UnassignPrivateIpAddresses', { NetworkInterfaceId: r.eniId, PrivateIpAddress: addresses }),
      )
    },
    async unassignIpv6(r) {
      await unassignAll(r.addresses, addresses => call('UnassignIpv6Addresses', { NetworkInterfaceId: r.eniId, Ipv6Address: addresses }))
    },
    describeInstanceTypes: ids => describeTypes(call, ids),
    async instanceExists(instanceId) {
      const reply = await call('DescribeInstances', { InstanceIds: JSON.stringify([instanceId]) })
      return reply.records('Instances', 'Instance').some(i => i.text('InstanceId') === instanceId)
    },
  }
}

type Call = (action: string, parameters: RpcParameters) => Promise<Reply>

async function describe(call: Call, r: DescribeEnis): Promise<readonly Eni[]> {
  const action = 'DescribeNetworkInterfaces'
  // An empty list of ids would ask for every ENI of the account.
  if (r.ids?.length === 0) return []
  const found: Eni[] = []
  const batches = r.ids === undefined ? [undefined] : inBatches(r.ids, idsPerDescribe)
  for (const ids of batches) {
    let token: string | undefined
    do {
      const reply = await call(action, {
        NetworkInterfaceId: ids,
        InstanceId: r.instanceId,
        VpcId: r.vpcId,
        Type: r.type,
        Status: r.status,
        Tag: r.tags === undefined || r.tags.length === 0 ? undefined : tagsOf(r.tags),
        MaxResults: enisPerPage,
        NextToken: token,
      })
      found.push(...reply.records('NetworkInterfaceSets', 'NetworkInterfaceSet').map(e => eniOf(action, e)))
      token = reply.optional('NextToken')
    } while (token !== undefined)
  }
  return found
}

async function describeTypes(call: Call, ids: readonly string[]): Promise<readonly InstanceType[]> {
  const found: InstanceType[] = []
  let token: string | undefined
  do {
    const reply = await call('DescribeInstanceTypes', { InstanceTypes: ids, MaxResults: 100, NextToken: token })
    found.push(...reply.records('InstanceTypes', 'InstanceType').map(instanceTypeOf))
    token = reply.optional('NextToken')
  } while (token !== undefined)
  return found
}

/** An ECS InstanceType record, as DescribeInstanceTypes and the annotation alibabacloud.com/instance-type-info carry it. */
export function instanceTypeOf(r: Reply): InstanceType {
  const eniQuantity = r.number('EniQuantity')
  return {
    id: r.text('InstanceTypeId'),
    eniQuantity,
    eniTotalQuantity: r.optionalNumber('EniTotalQuantity') ?? eniQuantity,
    ipv4PerEni: r.number('EniPrivateIpAddressQuantity'),
    ipv6PerEni: r.optionalNumber('EniIpv6AddressQuantity') ?? 0,
    trunkSupported: r.flag('EniTrunkSupported'),
    eriQuantity: r.optionalNumber('EriQuantity') ?? 0,
    bandwidthRx: r.optionalNumber('InstanceBandwidthRx') ?? 0,
    bandwidthTx: r.optionalNumber('InstanceBandwidthTx') ?? 0,
    networkCards: r.records('NetworkCards', 'NetworkCardInfo').map(c => c.number('NetworkCardIndex')),
  }
}

/** Detaching, deleting or unassigning what is not there any more has reached its aim. */
async function succeedWhenGone(fn: () => Promise<unknown>): Promise<void> {
  try {
    await fn()
  } catch (e) {
    if (!isCloudError(e, 'gone')) throw e
  }
}

/** One address that is not there makes the cloud refuse the whole call and change nothing: then each is given back by itself. */
async function unassignAll<T>(addresses: readonly T[], call: (addresses: readonly T[]) => Promise<unknown>): Promise<void> {
  try {
    await call(addresses)
  } catch (e) {
    if (!isCloudError(e, 'gone')) throw e
    if (e.code === 'InvalidEniId.NotFound' || addresses.length === 1) return
    for (const address of addresses) await succeedWhenGone(() => call([address]))
  }
}

function tagsOf(tags: readonly Tag[]): readonly Readonly<Record<string, string>>[] {
  return tags.map(t => ({ Key: t.key, Value: t.value }))
}

export function inBatches<T>(items: readonly T[], size: number): readonly (readonly T[])[] {
  if (size < 1) throw new CloudError('internal', 'bug', `batch size ${size}`)
  return Array.from({ length: Math.ceil(items.length / size) }, (_, i) => items.slice(i * size, (i + 1) * size))
}
