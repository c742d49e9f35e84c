// SPDX-License-Identifier: Apache-2.0
import type { Context } from '#daemon/context.ts'
import type { Attachment } from '#datapath/attachment.ts'
import type { Lease } from '#ipam/ledger.ts'
import { formatOp } from '#kernel/op.ts'
import { tryParseIp } from '#net/ip.ts'
import { cniError } from '#rpc/cni-error.ts'
import type { CheckRequest, PreviousResult } from '#rpc/cni-message.ts'

/** CNI CHECK: succeeds when the lease of this interface is what ADD answered and the kernel has exactly that. Repairs nothing. */
export async function check(ctx: Context, request: CheckRequest): Promise<void> {
  const lease = heldLease(ctx, request)
  const wrong = differences(request.previous, lease.attachment)
  if (wrong.length > 0) throw cniError('check-failed', `prevResult: ${wrong.join('; ')}`)
  // Somebody else's plugin owns the kernel state of other leases.
  if (lease.owner !== 'cni') return
  const ops = await ctx.datapath.diff(lease.attachment)
  if (ops.length === 0) return
  const shown = ops.slice(0, 3).map(formatOp).join('; ')
  throw cniError('check-failed', `the kernel differs by ${ops.length} operations: ${shown}${ops.length > 3 ? '; …' : ''}`)
}

/** The lease of a sandbox that has its network. Throws `unknown-container`. */
export function heldLease({ book }: Context, { containerId, ifName }: Pick<CheckRequest, 'containerId' | 'ifName'>): Lease {
  const lease = book.lease(containerId)
  if (lease?.state === 'held' && lease.attachment.ifName === ifName) return lease
  throw cniError('unknown-container', `container ${containerId} has no network ${ifName} here`)
}

/** What the earlier result says that the attachment does not; other plugins of the chain may have added interfaces and addresses. */
function differences(previous: PreviousResult, a: Attachment): readonly string[] {
  const inside = previous.interfaces.find(i => i.name === a.ifName && i.sandbox !== undefined && i.sandbox !== '')
  const found = new Set(previous.ips.map(ip => tryParseIp(ip)))
  const absent = [a.v4?.address, a.v6?.address].filter(ip => ip !== undefined && !found.has(ip))
  return [
    ...(inside === undefined ? [`it has no interface ${a.ifName} inside the sandbox`] : []),
    // An adopted lease does not know its namespace.
    ...(inside !== undefined && a.netns !== '' && inside.sandbox !== a.netns
      ? [`${a.ifName} is in ${inside.sandbox}, the lease in ${a.netns}`]
      : []),
    ...absent.map(ip => `it lacks the address ${ip}`),
  ]
}
