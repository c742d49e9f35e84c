// SPDX-License-Identifier: Apache-2.0
import { missing } from '../model/errors.ts'
import { untagResources as untag } from '../model/tags.ts'
import { type Action, ecs } from './action.ts'
import { resourceIds, resourceType } from './tag-params.ts'

export const untagResources: Action = {
  name: 'UntagResources',
  versions: [ecs],
  regional: true,
  run: ({ state }, params) => {
    const keys = params.list('TagKey', 20)
    const all = params.boolean('All') === true
    if (keys.length === 0 && !all) throw missing('TagKey.N')
    untag(state, resourceType(params), resourceIds(params), keys.length > 0 ? keys : 'all')
    return {}
  },
}
