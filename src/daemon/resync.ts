// SPDX-License-Identifier: Apache-2.0
import { adopt, hasLostSandboxes } from '#daemon/adopt.ts'
import { type Context, currentHostSide, currentPool } from '#daemon/context.ts'
import { crashPoint } from '#daemon/crash-point.ts'
import { isTerminal } from '#daemon/pod.ts'
import type { Inventory } from '#datapath/port.ts'
import { podIdOf } from '#ipam/book.ts'
import { parseNetnsPath } from '#kernel/names.ts'

/**
 * What can be put right from the ledger alone, before the API server answers: a lease that a crash left `pending` was never
 * answered and ends, dying ones go on dying. Held ones are compared with the kernel by the first round of repair.
 */
export async function resyncLedger(ctx: Context): Promise<void> {
  for (const lease of ctx.book.leases()) {
    if (lease.state !== 'pending') continue
    try {
      await ctx.reaper.end(lease, 'the daemon stopped before its ADD was answered')
    } catch (err) {
      // A full disk must not keep the daemon from serving DEL; a new sandbox of the pod, or its end, ends this lease too.
      ctx.log.error({ err, container: lease.containerId }, 'a lease that was left pending cannot be ended now')
    }
  }
  ctx.reaper.kick()
}

/**
 * What needs the cluster's view: sandboxes of a predecessor whose pods live are adopted, everything else with our markers
 * that no lease accounts for is removed. Needs Node.status; does nothing before it is there. Whether it was done.
 */
export async function resyncKernel(ctx: Context): Promise<boolean> {
  const { cluster, book, pods, options, facts, clock, log } = ctx
  if (cluster.node === undefined) return false
  const inventory = await lookAround(ctx)
  // Nothing is awaited between this look at the ledger and the commit, and new leases since the inventory only protect more.
  const { leases, leftovers } = adopt({
    inventory,
    leases: book.leases(),
    pool: currentPool(ctx),
    livePods: pods.all().filter(p => !isTerminal(p)),
    runtime: cluster.runtime?.status,
    nodeName: options.nodeName,
    extraRoutes: facts.conf?.extraRoutes ?? [],
    mode: facts.eniMode,
    hostSide: currentHostSide(ctx),
    now: clock.wall(),
  })
  book.commit(leases.map(lease => ({ put: 'lease', lease })))
  crashPoint('adopted')
  for (const lease of leases)
    log.warn({ pod: podIdOf(lease), container: lease.containerId, owner: lease.owner }, 'adopted a sandbox of a predecessor')
  if (!isEmpty(leftovers)) {
    const ops = await ctx.datapath.removeLeftovers(leftovers)
    crashPoint('leftovers-removed')
    log.warn({ leftovers, operations: ops.length }, 'removed what no lease accounts for')
  }
  return true
}

/** The namespaces are looked through only when a sandbox of ours must be found again, or an ENI may be in one. */
async function lookAround({ datapath, book, host, options, facts }: Context): Promise<Inventory> {
  const inventory = await datapath.inventory()
  if (facts.eniMode !== 'exclusive' && !hasLostSandboxes(inventory, book.leases())) return inventory
  return datapath.inventory(host.list(options.netnsDir).map(parseNetnsPath))
}

function isEmpty(i: Inventory): boolean {
  return i.hostLinks.length + i.rules.length + i.routes.length + (i.enis?.length ?? 0) === 0
}
