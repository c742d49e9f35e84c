// SPDX-License-Identifier: Apache-2.0
import { defaultMtu, makeAttachment } from '#daemon/attach.ts'
import { type Context, currentBinding, currentHostSide, currentPool, currentStack } from '#daemon/context.ts'
import { crashPoint } from '#daemon/crash-point.ts'
import { del } from '#daemon/del.ts'
import type { PodInfo } from '#daemon/pod.ts'
import type { Ticket } from '#daemon/wait.ts'
import type { Attachment, IfName, NetnsPath } from '#datapath/attachment.ts'
import { hostIfName } from '#datapath/host-if-name.ts'
import { acquire, type Choice } from '#ipam/acquire.ts'
import type { Lease, LedgerChange } from '#ipam/ledger.ts'
import { eniModeOf, type NodeCr } from '#kube/crd/node.ts'
import { familiesOf } from '#net/stack.ts'
import { cniError } from '#rpc/cni-error.ts'

/** With less the kernel takes IPv6 off a device, silently. */
const minMtu6 = 1280
/** How long the devices of the pod's previous sandbox may take to go. */
const previousSandboxWait = 5_000

export interface LeaseRequest {
  readonly pod: PodInfo
  readonly containerId: string
  readonly netns: NetnsPath
  readonly ifName: IfName
  readonly owner: Lease['owner']
  readonly mtu?: number
  readonly ingressBytesPerSecond?: number
  readonly egressBytesPerSecond?: number
}

type Chosen = Extract<Choice, { kind: 'chosen' }>

/** Makes the network of one sandbox: after the earlier sandboxes of its pod, and while nothing else changes this one. */
export function inTurn<T>(ctx: Context, podId: string, containerId: string, make: () => Promise<T>): Promise<T> {
  return ctx.perPod.run(podId, () => ctx.perSandbox.run(containerId, make))
}

/**
 * The lease of a sandbox: its first one when it has one, else a new one, `pending` in the ledger when this returns. The pod's
 * previous sandbox is gone by then. Waits for an address when the pool is dry. Throws `try-again` with what is missing,
 * `bad-config` for an MTU that IPv6 cannot use, or what the ledger throws.
 */
export async function takeLease(ctx: Context, request: LeaseRequest, ticket: Ticket): Promise<Lease> {
  const { clock, options, observer } = ctx
  const deadline = clock.now() + options.addressWait
  for (;;) {
    ticket.abort.throwIfAborted()
    const choice = choose(ctx, request)
    if (choice.kind === 'refused') throw cniError(choice.waitHelps ? 'try-again' : 'bad-environment', choice.reason)
    const previous = previousSandboxes(ctx, request)
    if (previous.length > 0) {
      // Also when there is no address: the previous sandbox may have the last one.
      await endAll(ctx, previous, request.containerId)
      continue
    }
    // Nothing is awaited between the choice and its record.
    if (choice.kind === 'existing') return refreshed(ctx, choice.lease, request)
    if (choice.kind === 'chosen') return record(ctx, request, choice)
    const reason = choice.missing.join('; ')
    const left = deadline - clock.now()
    if (left <= 0) {
      observer.leased('', 'dry')
      throw cniError('try-again', `no address for pod ${request.pod.id} after ${options.addressWait} ms: ${reason}`)
    }
    ticket.at('lease', reason)
    await ctx.poolChanged.next(clock, left, ticket.abort)
  }
}

/**
 * Two sandboxes of one pod share the name of their host device, so the old one must be gone before the new one is set up.
 * Normally its DEL came first and it is dying; if not, the runtime has forgotten it.
 */
function previousSandboxes(ctx: Context, { pod, containerId, ifName }: LeaseRequest): readonly Attachment[] {
  const device = hostIfName(pod.namespace, pod.name, ifName)
  return ctx.book
    .leases()
    .map(l => l.attachment)
    .filter(a => a.hostIfName === device && a.containerId !== containerId)
}

/** Ends these sandboxes, and waits until their devices are gone. */
async function endAll(ctx: Context, previous: readonly Attachment[], successor: string): Promise<void> {
  for (const old of previous) await del(ctx, old, `replaced by container ${successor}`)
  await ctx.reaper.finish(
    previous.map(old => old.containerId),
    previousSandboxWait,
  )
  crashPoint('add-cleared')
}

/** The kernel is as the lease says (or the plugin that called us answers for that). */
export function hold(ctx: Context, lease: Lease): Lease {
  if (lease.state === 'held') return lease
  const held: Lease = { ...lease, state: 'held', since: ctx.clock.wall() }
  ctx.book.commit([{ put: 'lease', lease: held }])
  crashPoint('add-held')
  return held
}

function choose(ctx: Context, { pod, containerId, ifName, mtu = defaultMtu }: LeaseRequest): Choice {
  const families = familiesOf(currentStack(ctx))
  const want = { containerId, ifName, podUid: pod.uid, podId: pod.id, families, binding: currentBinding(ctx).mode, ...wholeEni(ctx) }
  if (ctx.book.lease(containerId) === undefined) {
    if (families.includes(6) && mtu < minMtu6) throw cniError('bad-config', `mtu: ${mtu} is less than ${minMtu6}, which IPv6 needs`)
    if (ctx.cluster.node === undefined) {
      return { kind: 'dry', missing: [`the Node CR ${ctx.options.nodeName} has not been seen: the controller creates it`] }
    }
    const disagreement = modeDisagreement(ctx, ctx.cluster.node)
    if (disagreement !== undefined) return { kind: 'dry', missing: [disagreement] }
    if (!ctx.facts.adopted) return { kind: 'dry', missing: ['the kernel has not been compared with the ledger since the start'] }
  }
  return acquire(want, currentPool(ctx), ctx.book)
}

function wholeEni({ facts }: Context): { readonly wholeEni?: true } {
  return facts.eniMode === 'exclusive' ? { wholeEni: true } : {}
}

/** A pod gets nothing while its node and the record do not agree on what it is to get. */
function modeDisagreement({ facts }: Context, node: NodeCr): string | undefined {
  if (facts.eniMode === eniModeOf(node)) return undefined
  if (facts.eniMode === 'unknown') return facts.trace.get('ENI mode') ?? 'whether pods share ENIs has not been found out since the start'
  return `the node has been ${facts.eniMode} since terwayd started, and its record says ${eniModeOf(node)} now`
}

function record(ctx: Context, request: LeaseRequest, { eni, addresses, waived }: Chosen): Lease {
  const { pod, containerId, owner } = request
  const extraRoutes = ctx.facts.conf?.extraRoutes ?? []
  const attachment = makeAttachment({ ...request, eni, addresses, extraRoutes, hostSide: currentHostSide(ctx) })
  const lease: Lease = {
    containerId,
    state: 'pending',
    podUid: pod.uid,
    podNamespace: pod.namespace,
    podName: pod.name,
    attachment,
    owner,
    since: ctx.clock.wall(),
  }
  const rested = addresses.map((a): LedgerChange => ({ drop: 'cooling', ip: a.ip }))
  const start = ctx.clock.now()
  ctx.book.commit([{ put: 'lease', lease }, ...rested])
  crashPoint('add-pending')
  ctx.observer.addPhase('ledger', ctx.clock.now() - start)
  ctx.observer.leased(eni.eniId, 'ok')
  if (waived) ctx.observer.coolingWaived()
  // Said while the kernel is looked at.
  const ips = addresses.map(a => a.ip)
  ctx.clock.after(0, () => ctx.log.info({ pod: pod.id, container: containerId, eni: eni.eniId, ips, waived }, 'lease made'))
  return lease
}

/** An adopted lease whose namespace was not found learns it when the runtime names it again. */
function refreshed(ctx: Context, lease: Lease, { netns, owner }: LeaseRequest): Lease {
  if (lease.attachment.netns === netns && lease.owner === owner) return lease
  const updated: Lease = { ...lease, owner, attachment: { ...lease.attachment, netns } }
  ctx.book.commit([{ put: 'lease', lease: updated }])
  crashPoint('lease-refreshed')
  return updated
}
