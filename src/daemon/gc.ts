// SPDX-License-Identifier: Apache-2.0
import type { Context } from '#daemon/context.ts'
import { del } from '#daemon/del.ts'
import type { GcRequest } from '#rpc/cni-message.ts'

/**
 * CNI GC: ends the lease of every interface that the runtime does not list as valid. Leases that another plugin made are not
 * the runtime's to list, and one that is still being made (`pending`) is not listed yet.
 */
export async function gc(ctx: Context, request: GcRequest): Promise<void> {
  const valid = new Set(request.valid.map(keyOf))
  const stale = ctx.book.leases().filter(l => l.owner === 'cni' && l.state === 'held' && !valid.has(keyOf(l.attachment)))
  for (const lease of stale) await del(ctx, lease.attachment, 'GC: the runtime does not know the container and its interface')
}

function keyOf({ containerId, ifName }: GcRequest['valid'][number]): string {
  return `${containerId}/${ifName}`
}
