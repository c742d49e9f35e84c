// SPDX-License-Identifier: Apache-2.0
import type { Tag } from '#cloud/port.ts'

/** On each ENI that this controller creates. Terway's tags, so that its tools recognise the ENIs, plus the node and the intent. */
export const creatorTag: Tag = { key: 'creator', value: 'terway' }
export const clusterTagKey = 'ack.aliyun.com'
export const nodeTag = 'terway.alibabacloud.com/node'
/** The idempotency token of the intent that created the ENI. */
export const intentTag = 'terway.alibabacloud.com/intent'

export const eniDescription = 'interface create by terway'

/** The tags that make an ENI ours: the creator and this cluster. */
export function ownTags(clusterId: string): readonly Tag[] {
  return [creatorTag, { key: clusterTagKey, value: clusterId }]
}

/** Sorted by key: the same request has the same parameters whenever it is repeated. */
export function tagsFor(clusterId: string, node: string, token: string, configured: Readonly<Record<string, string>>): readonly Tag[] {
  const all = new Map(Object.entries(configured))
  for (const t of ownTags(clusterId)) all.set(t.key, t.value)
  all.set(nodeTag, node)
  all.set(intentTag, token)
  return [...all].map(([key, value]) => ({ key, value })).sort((a, b) => (a.key < b.key ? -1 : 1))
}

export function isOwn(tags: readonly Tag[], clusterId: string): boolean {
  return ownTags(clusterId).every(own => tags.some(t => t.key === own.key && t.value === own.value))
}
