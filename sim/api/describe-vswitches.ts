// SPDX-License-Identifier: Apache-2.0
import { missing } from '../model/errors.ts'
import { type Action, ecs, vpc } from './action.ts'
import { page } from './page.ts'

/** RegionId or VpcId must be given; the count of free addresses does not lag. */
export const describeVSwitches: Action = {
  name: 'DescribeVSwitches',
  versions: [vpc, ecs],
  regional: false,
  run: ({ state }, params) => {
    if (params.text('RegionId') === undefined && params.text('VpcId') === undefined) throw missing('RegionId')
    const [id, vpcId, zone, name] = ['VSwitchId', 'VpcId', 'ZoneId', 'VSwitchName'].map(field => params.text(field))
    const rows = state
      .list('vSwitch')
      .filter(
        row =>
          (id ?? row.id) === row.id &&
          (vpcId ?? row.vpcId) === row.vpcId &&
          (zone ?? row.zoneId) === row.zoneId &&
          (name ?? row.name) === row.name,
      )
    const { rows: some, fields } = page(params, [...rows.entries()], ([i]) => i, 50)
    const VSwitch = some.map(([, row]) => ({
      VSwitchId: row.id,
      VSwitchName: row.name,
      VpcId: row.vpcId,
      ZoneId: row.zoneId,
      CidrBlock: row.cidr4,
      Ipv6CidrBlock: row.cidr6 ?? '',
      AvailableIpAddressCount: row.exhausted === true ? 0 : state.book(row.id).v4.available,
      Status: 'Available',
      IsDefault: false,
    }))
    return { ...fields, VSwitches: { VSwitch } }
  },
}
