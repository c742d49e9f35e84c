// SPDX-License-Identifier: Apache-2.0
import { type Action, ecs, vpc } from './action.ts'
import { page } from './page.ts'

export const describeVpcs: Action = {
  name: 'DescribeVpcs',
  versions: [vpc, ecs],
  regional: true,
  run: ({ state }, params) => {
    const ids = params.text('VpcId')?.split(',')
    const rows = state.list('vpc').filter(row => ids?.includes(row.id) ?? true)
    const { rows: some, fields } = page(params, [...rows.entries()], ([i]) => i, 50)
    const Vpc = some.map(([, row]) => ({
      VpcId: row.id,
      VpcName: row.name,
      RegionId: state.settings.regionId,
      CidrBlock: row.cidr4,
      Ipv6CidrBlock: row.cidr6 ?? '',
      Status: 'Available',
      VSwitchIds: { VSwitchId: state.list('vSwitch').flatMap(vSwitch => (vSwitch.vpcId === row.id ? [vSwitch.id] : [])) },
    }))
    return { ...fields, Vpcs: { Vpc } }
  },
}
