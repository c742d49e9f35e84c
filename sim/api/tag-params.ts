// SPDX-License-Identifier: Apache-2.0
import { missing } from '../model/errors.ts'
import type { Params } from './params.ts'

const types = ['eni', 'instance', 'securitygroup'] as const
export type TagType = (typeof types)[number]

/** ResourceType, which the tag calls require. */
export function resourceType(params: Params): TagType {
  const type = params.oneOf('ResourceType', types)
  if (type === undefined) throw missing('ResourceType')
  return type
}

/** ResourceId.N, 1 to 50 of them. */
export function resourceIds(params: Params): string[] {
  const ids = params.list('ResourceId', 50)
  if (ids.length === 0) throw missing('ResourceId.N')
  return ids
}
