// SPDX-License-Identifier: Apache-2.0
import { invalid } from '../model/errors.ts'
import { type Action, ecs } from './action.ts'
import { tagSet } from './eni-body.ts'
import { page } from './page.ts'
import type { Params } from './params.ts'

/** SecurityGroupIds is a JSON array of at most 100 ids. */
function wantedIds(params: Params): string[] | undefined {
  const one = params.text('SecurityGroupId')
  const text = params.text('SecurityGroupIds')
  if (text === undefined) return one === undefined ? undefined : [one]
  try {
    const list: unknown = JSON.parse(text)
    if (Array.isArray(list) && list.every(item => typeof item === 'string')) return list
  } catch {
    // falls through to the same answer as for JSON of another form
  }
  throw invalid('SecurityGroupIds', 'it is no JSON array of strings')
}

export const describeSecurityGroups: Action = {
  name: 'DescribeSecurityGroups',
  versions: [ecs],
  regional: true,
  run: ({ seen }, params) => {
    const ids = wantedIds(params)
    const [vpcId, name] = ['VpcId', 'SecurityGroupName'].map(field => params.text(field))
    const rows = seen
      .list('securityGroup')
      .filter(row => (ids?.includes(row.id) ?? true) && (vpcId ?? row.vpcId) === row.vpcId && (name ?? row.name) === row.name)
      .sort((a, b) => (a.id < b.id ? -1 : 1))
    const { rows: some, fields } = page(params, [...rows.entries()], ([i]) => i, 100)
    const SecurityGroup = some.map(([, row]) => ({
      SecurityGroupId: row.id,
      SecurityGroupName: row.name,
      SecurityGroupType: 'normal',
      VpcId: row.vpcId,
      Tags: tagSet(row.tags),
    }))
    return { ...fields, SecurityGroups: { SecurityGroup } }
  },
}
