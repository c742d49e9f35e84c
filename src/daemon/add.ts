// SPDX-License-Identifier: Apache-2.0
import { heldLease } from '#daemon/check.ts'
import type { Context } from '#daemon/context.ts'
import { crashPoint } from '#daemon/crash-point.ts'
import { hold, inTurn, takeLease } from '#daemon/lease.ts'
import type { AddPhase } from '#daemon/observer.ts'
import { resultOf } from '#daemon/result.ts'
import type { Ticket } from '#daemon/wait.ts'
import type { SetupResult } from '#datapath/port.ts'
import type { Lease } from '#ipam/ledger.ts'
import { type IfName, type NetnsPath, parseIfName, parseNetnsPath } from '#kernel/names.ts'
import { type AppError, isAppError, messageOf } from '#lib/errors.ts'
import { type CniCode, cniError } from '#rpc/cni-error.ts'
import { type AddRequest, formatResult, type PodArgs } from '#rpc/cni-message.ts'

/** Milliseconds that an ADD waits for the device of an attached ENI, and between two looks. */
const deviceWait = 10_000
const deviceLook = 100

/**
 * CNI ADD: gives one sandbox its network. A repeated ADD of a container returns its first lease. `received`: monotonic
 * milliseconds at which the request was complete. Throws AppError<CniCode> or what the ledger throws; then the sandbox has
 * no lease, or one that is ending.
 */
export async function add(ctx: Context, request: AddRequest, received: number): Promise<object> {
  const { namespace, name } = request.pod
  const { containerId, ifName } = request
  using ticket = ctx.waits.enter({ namespace, name, containerId, ifName })
  try {
    return await inTurn(ctx, `${namespace}/${name}`, containerId, () => addSandbox(ctx, request, received, ticket))
  } catch (e) {
    // A sandbox that was deleted while it waited, and a daemon that stops, are nobody's failure.
    if (!ticket.abort.aborted) tell(ctx, request.pod, 'Warning', 'AllocIPFailed', messageOf(e))
    throw e
  }
}

/** ADD of the entry behind other plugins: neighbours and programs learn what these made of the pod's interface. What they answered is passed on. */
export function addAgain(ctx: Context, request: AddRequest): Promise<object> {
  const { pod, containerId } = request
  const [ifName, netns] = [parseIfName(request.ifName), liveNetns(ctx, request.netns)]
  return inTurn(ctx, `${pod.namespace}/${pod.name}`, containerId, async () => {
    const lease = heldLease(ctx, request)
    try {
      await ctx.kernelSlots.run(() => ctx.datapath.setup(lease.attachment))
      crashPoint('add-again.set-up')
    } catch (e) {
      throw kernelFailure(e, ifName, netns)
    }
    return formatResult(request.config.cniVersion, { interfaces: [], ips: [] }, request.previous)
  })
}

async function addSandbox(ctx: Context, request: AddRequest, received: number, ticket: Ticket): Promise<object> {
  const phase = stopwatch(ctx, received)
  const netns = liveNetns(ctx, request.netns)
  const ifName = parseIfName(request.ifName)
  phase('parse')
  ticket.at('pod', `pod ${request.pod.namespace}/${request.pod.name} is not known on this node yet`)
  const pod = await ctx.pods.require(request.pod, ticket.abort)
  phase('pod')
  const { mtu, ingressBytesPerSecond, egressBytesPerSecond } = request.config
  const lease = await takeLease(
    ctx,
    {
      pod,
      containerId: request.containerId,
      netns,
      ifName,
      owner: 'cni',
      ...(mtu === undefined ? {} : { mtu }),
      ...(ingressBytesPerSecond === undefined ? {} : { ingressBytesPerSecond }),
      ...(egressBytesPerSecond === undefined ? {} : { egressBytesPerSecond }),
    },
    ticket,
  )
  phase('lease')
  ticket.at('kernel', 'the network is being set up')
  const setup = await setUp(ctx, lease, ifName, netns, ticket)
  phase('kernel')
  const total = ctx.clock.now() - received
  ctx.observer.addPhase('total', total)
  ctx.clock.after(0, () => announce(ctx, lease, total))
  return formatResult(request.config.cniVersion, resultOf(lease.attachment, setup), request.previous)
}

/** Kernel, then `held` in the ledger; on failure the lease ends and the reaper removes what was made. */
async function setUp(ctx: Context, lease: Lease, ifName: IfName, netns: NetnsPath, ticket: Ticket): Promise<SetupResult> {
  try {
    const setup = await onceDeviceIsThere(ctx, ticket, () => ctx.kernelSlots.run(() => ctx.datapath.setup(lease.attachment)))
    crashPoint('add-set-up')
    hold(ctx, lease)
    return setup
  } catch (e) {
    // A sandbox that already had its network keeps it: only CHECK and repair failed, so to say.
    if (lease.state === 'pending') await abandon(ctx, lease, messageOf(e))
    throw kernelFailure(e, ifName, netns)
  }
}

/** The cloud reports an ENI attached before the node's driver shows its device. */
async function onceDeviceIsThere<T>(ctx: Context, ticket: Ticket, fn: () => Promise<T>): Promise<T> {
  const deadline = ctx.clock.now() + deviceWait
  for (;;) {
    try {
      return await fn()
    } catch (e) {
      if (!isAppError(e) || e.code !== 'eni-absent' || ctx.clock.now() >= deadline) throw e
      ticket.at('device', messageOf(e))
      await ctx.clock.sleep(deviceLook, ticket.abort)
    }
  }
}

async function abandon(ctx: Context, lease: Lease, reason: string): Promise<void> {
  try {
    await ctx.reaper.end(lease, `ADD failed: ${reason}`)
  } catch (err) {
    // The ledger cannot say `dying`: the lease stays pending there, and the next start, or the next ADD or DEL, ends it.
    ctx.log.error({ err, container: lease.containerId }, 'the end of a lease cannot be recorded')
  }
}

/** What a failed setup means to the runtime. */
function kernelFailure(e: unknown, ifName: IfName, netns: NetnsPath): AppError {
  if (!isAppError(e)) return cniError('internal', `setting up ${ifName} in ${netns} failed`, e)
  const codes: Readonly<Record<string, CniCode>> = {
    'eni-absent': 'try-again',
    'kernel-worker': 'try-again',
    'netns-gone': 'bad-environment',
    'pod-interface-taken': 'bad-environment',
    'kernel-refused': 'internal',
  }
  const code = codes[e.code]
  return code === undefined ? e : cniError(code, `setting up ${ifName} in ${netns} failed`, e)
}

function liveNetns(ctx: Context, text: string): NetnsPath {
  const netns = parseNetnsPath(text)
  const found = ctx.host.netns(netns)
  if (found === 'live') return netns
  throw cniError(
    'bad-environment',
    `CNI_NETNS: ${text} ${found === 'absent' ? 'does not exist' : 'is not a network namespace where terwayd runs (does its mount propagate from the host?)'}`,
  )
}

/** Reports the time since the last call as that phase. */
function stopwatch(ctx: Context, start: number): (phase: AddPhase) => void {
  let last = start
  return phase => {
    const now = ctx.clock.now()
    ctx.observer.addPhase(phase, now - last)
    last = now
  }
}

/** Terway's events; people and tests read the latency from the message of success. */
function announce(ctx: Context, lease: Lease, ms: number): void {
  const ip = [lease.attachment.v4?.address, lease.attachment.v6?.address].filter(a => a !== undefined).join(',')
  const pod = { namespace: lease.podNamespace, name: lease.podName, uid: lease.podUid }
  tell(ctx, pod, 'Normal', 'AllocIPSucceed', `Alloc IP ${ip} took ${Math.round(ms)}ms`)
}

function tell(ctx: Context, pod: PodArgs, type: 'Normal' | 'Warning', reason: string, message: string): void {
  ctx.kube.event({ about: { apiVersion: 'v1', kind: 'Pod', ...pod }, type, reason, message, action: 'AllocIP' })
}
