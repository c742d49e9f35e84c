// SPDX-License-Identifier: Apache-2.0
import type { Context } from '#daemon/context.ts'
import type { DelRequest } from '#rpc/cni-message.ts'

/**
 * CNI DEL: ends the lease of this container, and of no other: an unknown container is a success, whatever its pod holds now.
 * Answers when the end is in the ledger and nothing routes to the addresses any more; devices go later. Throws what the
 * ledger throws, and then the lease stands as before.
 */
export async function del(ctx: Context, request: Pick<DelRequest, 'containerId'>, reason = 'DEL'): Promise<void> {
  ctx.waits.cancel(request.containerId)
  const found = ctx.waits.podOf(request.containerId) ?? podOf(ctx, request.containerId)
  if (found === undefined) return
  await ctx.perPod.run(found, async () => {
    const lease = ctx.book.lease(request.containerId)
    if (lease !== undefined) await ctx.reaper.end(lease, reason)
  })
}

function podOf(ctx: Context, containerId: string): string | undefined {
  const lease = ctx.book.lease(containerId)
  return lease === undefined ? undefined : `${lease.podNamespace}/${lease.podName}`
}
