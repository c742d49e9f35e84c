// SPDX-License-Identifier: Apache-2.0
import type { Context } from '#daemon/context.ts'
import { del } from '#daemon/del.ts'
import { hold, inTurn, takeLease } from '#daemon/lease.ts'
import type { Lease } from '#ipam/ledger.ts'
import { parseIfName, parseNetnsPath } from '#kernel/names.ts'
import { isAppError, messageOf } from '#lib/errors.ts'
import type { LeaseErrorCode, LeaseResult, LeaseService, SandboxNetwork, SandboxRef } from '#rpc/grpc/port.ts'

/** Leases for a plugin that does the kernel work itself: the same book and the same rules as CNI ADD and DEL. */
export function leaseService(ctx: Context): LeaseService {
  return {
    alloc: request => refusing(() => alloc(ctx, request)),
    release: request =>
      refusing(async () => {
        const lease = ctx.book.lease(request.containerId)
        if (lease === undefined || !isOf(lease, request)) return { released: false }
        await del(ctx, lease.attachment, 'ReleaseIP')
        return { released: true }
      }),
    info: async request => {
      const lease = ctx.book.lease(request.containerId)
      return lease !== undefined && isOf(lease, request) && lease.state === 'held' ? networkOf(ctx, lease, undefined) : undefined
    },
    recordEvent: async e => {
      const about =
        e.target === 'node'
          ? { apiVersion: 'v1', kind: 'Node', name: ctx.options.nodeName }
          : { apiVersion: 'v1', kind: 'Pod', name: e.name, namespace: e.namespace }
      ctx.kube.event({ about, type: e.type, reason: e.reason, message: e.message, action: 'AllocIP' })
    },
  }
}

async function alloc(ctx: Context, r: Parameters<LeaseService['alloc']>[0]): Promise<LeaseResult<SandboxNetwork>> {
  const id = `${r.namespace}/${r.name}`
  if (ctx.perPod.busy(id)) return { refused: 'PodIsProcessing', message: `pod ${id} is being worked on` }
  using ticket = ctx.waits.enter(r)
  return await inTurn(ctx, id, r.containerId, async () => {
    const pod = await ctx.pods.require({ namespace: r.namespace, name: r.name }, ticket.abort)
    const netns = parseNetnsPath(r.netns)
    const lease = await takeLease(ctx, { pod, containerId: r.containerId, netns, ifName: parseIfName(r.ifName), owner: 'grpc' }, ticket)
    return networkOf(ctx, hold(ctx, lease), pod.networkPriority)
  })
}

function isOf(lease: Lease, r: SandboxRef): boolean {
  return lease.podNamespace === r.namespace && lease.podName === r.name
}

function networkOf(ctx: Context, lease: Lease, networkPriority: string | undefined): SandboxNetwork {
  const { conf } = ctx.facts
  return {
    interfaces: [lease.attachment],
    exclusive: lease.attachment.kind === 'exclusive-eni',
    ...(conf?.serviceCidr4 && { serviceCidr4: conf.serviceCidr4 }),
    ...(conf?.serviceCidr6 && { serviceCidr6: conf.serviceCidr6 }),
    ...(networkPriority === undefined ? {} : { networkPriority }),
  }
}

/** What a plugin can act on is a refusal; everything else is thrown on. */
async function refusing<T>(work: () => Promise<LeaseResult<T>>): Promise<LeaseResult<T>> {
  try {
    return await work()
  } catch (e) {
    const codes: Readonly<Record<string, LeaseErrorCode>> = {
      'try-again': 'IPNotAllocated',
      'pod-refused': 'InvalidArgs',
      'bad-environment': 'InvalidArgs',
      'bad-if-name': 'InvalidArgs',
      'bad-netns-path': 'InvalidArgs',
    }
    const refused = isAppError(e) ? codes[e.code] : undefined
    if (refused === undefined) throw e
    return { refused, message: messageOf(e) }
  }
}
