// SPDX-License-Identifier: Apache-2.0
import { fault, invalid } from './errors.ts'
import type { Tags } from './rows.ts'
import type { State } from './state.ts'

/** Resource types of TagResources and the tables that hold them. */
export const taggable = { eni: 'eni', instance: 'instance', securitygroup: 'securityGroup' } as const

/** Tag rules of TagResources: 1..128 characters, no reserved prefix, no URL; at most 20 per resource. */
export function requireTags(state: State, tags: Tags): void {
  const entries = Object.entries(tags)
  for (const [key, value] of entries) {
    if (key.length < 1 || key.length > 128) throw invalid('Tag.Key', 'a key has 1 to 128 characters')
    if (value.length > 128) throw invalid('Tag.Value', 'a value has at most 128 characters')
    if (/^(aliyun|acs:)/i.test(key)) throw invalid('Tag.Key', `${JSON.stringify(key)} has a reserved prefix`)
    if (/^acs:/i.test(value)) throw invalid('Tag.Value', `${JSON.stringify(value)} has a reserved prefix`)
    if (/https?:\/\//i.test(key + value)) throw invalid('Tag.Key', 'a tag contains no URL')
  }
  const { tagsPerResource } = state.settings.quota
  if (entries.length > tagsPerResource) throw fault('QuotaExceeded', `A resource has at most ${tagsPerResource} tags.`)
}

type TagType = keyof typeof taggable

function requireResource(state: State, type: TagType, id: string) {
  const row = state.get(taggable[type], id)
  if (row === undefined) throw fault('InvalidResourceId.NotFound', `The specified ResourceId "${id}" is not found.`)
  return row
}

/** Adds tags to all resources or to none; a key that exists gets the new value. */
export function tagResources(state: State, type: TagType, ids: readonly string[], tags: Tags): void {
  for (const id of ids) {
    const row = requireResource(state, type, id)
    const merged = { ...row.tags, ...tags }
    requireTags(state, merged)
    state.put(taggable[type], { ...row, tags: merged })
  }
}

/** Removes the named tags, or all. A key that a resource does not have is no error. */
export function untagResources(state: State, type: TagType, ids: readonly string[], keys: readonly string[] | 'all'): void {
  for (const id of ids) {
    const row = requireResource(state, type, id)
    const rest = keys === 'all' ? [] : Object.entries(row.tags).filter(([key]) => !keys.includes(key))
    state.put(taggable[type], { ...row, tags: Object.fromEntries(rest) })
  }
}
