// SPDX-License-Identifier: Apache-2.0
import type { Context } from '#daemon/context.ts'
import { cniError } from '#rpc/cni-error.ts'

/**
 * CNI STATUS: fails with code 50 when no pod could be served. A dry pool is no reason: an address may come any moment, and a
 * node that is NotReady would lose pods that run well.
 */
export function status(ctx: Pick<Context, 'facts'>): void {
  if (ctx.facts.notReady !== '') throw cniError('unserved', `terwayd is not ready: ${ctx.facts.notReady}`)
}
