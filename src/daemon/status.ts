// SPDX-License-Identifier: Apache-2.0
import type { Context } from '#daemon/context.ts'
import { cniError } from '#rpc/cni-error.ts'

/**
 * CNI STATUS: fails with code 50 when no pod could be served. A dry pool is no reason: an address may come any moment, and a
 * node that is NotReady would lose pods that run well. For the same reason a daemon that has just started answers when it is
 * ready, if that is soon.
 */
export async function status(ctx: Pick<Context, 'facts' | 'clock' | 'options' | 'poolChanged' | 'stopping'>): Promise<void> {
  const { facts, clock, options, poolChanged, stopping } = ctx
  const deadline = clock.now() + options.statusWait
  for (let rest = options.statusWait; facts.notReady !== '' && rest > 0 && !stopping.aborted; rest = deadline - clock.now()) {
    await poolChanged.next(clock, rest, stopping)
  }
  if (facts.notReady !== '') throw cniError('unserved', `terwayd is not ready: ${facts.notReady}`)
}
