// SPDX-License-Identifier: Apache-2.0
import type { Context } from '#daemon/context.ts'
import type { DelRequest } from '#rpc/cni-message.ts'

/**
 * CNI DEL: ends the lease of this interface of this container, and of no other: an unknown one is a success, whatever its pod
 * holds now. Answers when the end is in the ledger and nothing routes to the addresses any more; devices go later. Waits for
 * an ADD of the same container only, which stops waiting. Throws what the ledger throws, and then the lease stands as before.
 */
export async function del(ctx: Context, of: Pick<DelRequest, 'containerId' | 'ifName'>, reason = 'DEL'): Promise<void> {
  const { containerId, ifName } = of
  ctx.waits.cancel(containerId, ifName)
  await ctx.perSandbox.run(containerId, async () => {
    const lease = ctx.book.lease(containerId)
    if (lease?.attachment.ifName === ifName) await ctx.reaper.end(lease, reason)
  })
}
