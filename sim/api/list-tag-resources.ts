// SPDX-License-Identifier: Apache-2.0
import { missing } from '../model/errors.ts'
import { taggable } from '../model/tags.ts'
import { type Action, ecs } from './action.ts'
import { page } from './page.ts'
import { resourceType } from './tag-params.ts'

export const listTagResources: Action = {
  name: 'ListTagResources',
  versions: [ecs],
  regional: true,
  run: ({ seen }, params) => {
    const type = resourceType(params)
    const ids = params.list('ResourceId', 50)
    const filter = Object.entries(params.tags())
    if (ids.length === 0 && filter.length === 0) throw missing('ResourceId.N')
    const rows = seen
      .list(taggable[type])
      .filter(
        row =>
          (ids.length === 0 || ids.includes(row.id)) &&
          filter.every(([key, value]) => Object.hasOwn(row.tags, key) && (value === '' || row.tags[key] === value)),
      )
      .sort((a, b) => (a.id < b.id ? -1 : 1))
      .flatMap(row => Object.entries(row.tags).map(([TagKey, TagValue]) => ({ ResourceType: type, ResourceId: row.id, TagKey, TagValue })))
    const { rows: some, fields } = page(params, [...rows.entries()], ([i]) => i, 1000)
    return { NextToken: fields.NextToken ?? '', TagResources: { TagResource: some.map(([, row]) => row) } }
  },
}
