// SPDX-License-Identifier: Apache-2.0
import type { InstanceType } from '../model/instance-types.ts'
import { allTypes } from '../model/types.ts'
import { type Action, ecs } from './action.ts'
import { page } from './page.ts'

function body(type: InstanceType): object {
  return {
    InstanceTypeId: type.id,
    InstanceTypeFamily: type.family,
    CpuCoreCount: type.cpu,
    MemorySize: type.memoryGiB,
    EniQuantity: type.eniQuantity,
    EniTotalQuantity: type.eniTotalQuantity,
    EniTrunkSupported: type.eniTrunkSupported,
    EniPrivateIpAddressQuantity: type.ipv4PerEni,
    EniIpv6AddressQuantity: type.ipv6PerEni,
    EriQuantity: type.eriQuantity,
    InstanceBandwidthRx: type.bandwidthKbps,
    InstanceBandwidthTx: type.bandwidthKbps,
    NetworkCardQuantity: type.networkCards,
    NetworkCards: { NetworkCardInfo: Array.from({ length: type.networkCards }, (_, NetworkCardIndex) => ({ NetworkCardIndex })) },
  }
}

/** InstanceTypes.N names at most 10 (reference: 1 to 10); MaxResults at most 1600, and all in one page when absent. */
export const describeInstanceTypes: Action = {
  name: 'DescribeInstanceTypes',
  versions: [ecs],
  regional: false,
  run: ({ state }, params) => {
    const names = params.list('InstanceTypes', 10)
    const family = params.text('InstanceTypeFamily')
    const rows = allTypes(state)
      .filter(type => (names.length === 0 || names.includes(type.id)) && (family ?? type.family) === type.family)
      .sort((a, b) => (a.id < b.id ? -1 : 1))
    const paged = params.text('MaxResults') !== undefined || params.text('NextToken') !== undefined
    const { rows: some, fields } = paged
      ? page(params, [...rows.entries()], ([i]) => i, 1600)
      : { rows: [...rows.entries()], fields: { NextToken: '' } }
    return { NextToken: fields.NextToken ?? '', InstanceTypes: { InstanceType: some.map(([, type]) => body(type)) } }
  },
}
