// SPDX-License-Identifier: Apache-2.0
import { missing } from '../model/errors.ts'
import { tagResources as tag } from '../model/tags.ts'
import { type Action, ecs } from './action.ts'
import { resourceIds, resourceType } from './tag-params.ts'

export const tagResources: Action = {
  name: 'TagResources',
  versions: [ecs],
  regional: true,
  run: ({ state }, params) => {
    const tags = params.tags()
    if (Object.keys(tags).length === 0) throw missing('Tag.N.Key')
    tag(state, resourceType(params), resourceIds(params), tags)
    return {}
  },
}
