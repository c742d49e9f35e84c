// SPDX-License-Identifier: Apache-2.0

import type { BindablePod } from '#controller/eni/bind.ts'
import { nicsOf } from '#controller/eni/status.ts'
import type { Demand } from '#ipam/action.ts'
import { idle } from '#ipam/plan.ts'
import { isLive, type Pool, sum } from '#ipam/pool.ts'
import type { EniMode, Nic, NodeCr, NodeStatus } from '#kube/crd/node.ts'
import type { NodeRuntime } from '#kube/crd/node-runtime.ts'
import { eniLimits, ownNetwork, type Pod, wholeEni } from '#kube/reflect/pod.ts'
import { parseDuration } from '#lib/duration.ts'
import { podsServed, type Stack } from '#net/stack.ts'

/**
 * Pods that need an address of an ENI of the node: not on the host's network, not finished, not served by a PodENI, not ignored. Where
 * each has an ENI the daemon refuses also those that ask for another one than the node's: one that is made for them would never be used.
 */
export function needsAddress(pod: Pod, mode: EniMode = 'shared'): boolean {
  const { annotations, labels } = pod.metadata
  if (pod.spec.hostNetwork === true || pod.status?.phase === 'Succeeded' || pod.status?.phase === 'Failed') return false
  if (mode === 'exclusive' && (ownNetwork(pod) !== undefined || eniLimits(pod).some(name => name !== wholeEni))) return false
  return !isTrue(annotations?.['k8s.aliyun.com/pod-eni']) && !isTrue(labels?.['k8s.aliyun.com/ignore-by-terway'])
}

/** As Go's strconv.ParseBool, which Terway uses for these keys. */
function isTrue(text: string | undefined): boolean {
  return text !== undefined && ['1', 't', 'T', 'TRUE', 'true', 'True'].includes(text)
}

export function bindable(pod: Pod): BindablePod {
  const ips = (pod.status?.podIPs ?? [{ ip: pod.status?.podIP }]).flatMap(p => (p.ip === undefined || p.ip === '' ? [] : [p.ip]))
  return {
    id: `${pod.metadata.namespace}/${pod.metadata.name}`,
    uid: pod.metadata.uid ?? '',
    ips,
    leaving: pod.metadata.deletionTimestamp !== undefined,
  }
}

/**
 * Pods that still wait for an address. A pod that has an address which this node does not know (its ENI is gone) does not
 * count: nothing that is created would ever satisfy it.
 * Where pods have an ENI each a pod counts also while its sandbox is replaced, as all do after a reboot: its status still names the
 * address, and there is no pool that would keep the ENI for it. What it has on an ENI that is not ours nobody here replaces.
 */
export function waitingPods(pods: readonly Pod[], status: NodeStatus, runtime: NodeRuntime | undefined, mode: EniMode = 'shared'): number {
  const nics = nicsOf(status)
  const on = (nic: Nic) => Object.values({ ...nic.ipv4, ...nic.ipv6 })
  const bound = new Set(nics.flatMap(nic => on(nic).flatMap(a => a.podUID ?? [])))
  const others = new Set(nics.flatMap(nic => (nic.unschedulable === true ? on(nic).map(a => a.ip) : [])))
  const isServed = (ip: string) => mode === 'shared' || others.has(ip)
  return pods
    .filter(pod => needsAddress(pod, mode))
    .map(bindable)
    .filter(p => {
      if (p.leaving || p.ips.some(isServed)) return false
      const report = runtime?.status?.pods?.[p.uid]
      return report === undefined ? !bound.has(p.uid) : !isLive(report)
    }).length
}

/** When the pool may be trimmed, in wall-clock milliseconds and as decided for this round. */
export interface Trimming {
  readonly adjust: boolean
  readonly now: number
}

export function demandOf(node: NodeCr, pool: Pool, waiting: number, trimming: Trimming): Demand {
  const min = node.spec.pool?.minPoolSize ?? 0
  return {
    waiting,
    min,
    max: Math.max(min, node.spec.pool?.maxPoolSize ?? 0),
    warmUpRemaining: warmUpRemaining(node.status ?? {}),
    adjust: trimming.adjust,
    reclaimExtra: trimming.adjust ? reclaimExtra(node, pool, waiting, trimming.now) : 0,
  }
}

/** Warm-up happens once per Node CR: its size is fixed at first sight, and every pod's worth of addresses obtained since counts. */
export function startWarmUp(status: NodeStatus, size: number | undefined): NodeStatus {
  if (status.warmUpCompleted !== undefined) return status
  if (size === undefined || size === 0) return { ...status, warmUpCompleted: true }
  return { ...status, warmUpTarget: size, warmUpAllocatedCount: 0, warmUpCompleted: false }
}

/** `grown`: the status with what was obtained. Both halves of a pair may come at different times. */
export function countWarmUp(status: NodeStatus, before: NodeStatus, grown: NodeStatus, stack: Stack): NodeStatus {
  if (status.warmUpCompleted !== false) return status
  const obtained = worth(grown, stack) - worth(before, stack)
  if (obtained === 0) return status
  const count = (status.warmUpAllocatedCount ?? 0) + obtained
  return { ...status, warmUpAllocatedCount: count, warmUpCompleted: count >= (status.warmUpTarget ?? 0) }
}

function worth(status: NodeStatus, stack: Stack): number {
  const size = (addresses: object | undefined) => Object.keys(addresses ?? {}).length
  return sum(Object.values(status.networkInterfaces ?? {}).map(nic => podsServed(stack, size(nic.ipv4), size(nic.ipv6))))
}

function warmUpRemaining(status: NodeStatus): number {
  return status.warmUpCompleted === false ? Math.max(0, (status.warmUpTarget ?? 0) - (status.warmUpAllocatedCount ?? 0)) : 0
}

/** Terway's defaults for what the daemon left out. */
const reclaimDefaults = { interval: '10m', batchSize: 5, jitterFactor: 0.1 }

function reclaimExtra(node: NodeCr, pool: Pool, waiting: number, now: number): number {
  const reclaim = node.spec.pool?.reclaim
  if (reclaim?.after === undefined) return 0
  const modified = Date.parse(node.status?.lastModifiedTime ?? '')
  if (Number.isNaN(modified) || now < modified + parseDuration(reclaim.after)) return 0
  const next = Date.parse(node.status?.nextIdleIPReclaimTime ?? '')
  // Later than any that could have been set now: the clock was ahead then.
  if (!Number.isNaN(next) && now < next && next <= Date.parse(nextReclaim(node, now, 1))) return 0
  const spare = idle(pool) - waiting - Math.max(node.spec.pool?.minPoolSize ?? 0, 0)
  return Math.max(0, Math.min(reclaim.batchSize ?? reclaimDefaults.batchSize, spare))
}

/** When the next idle reclaim may happen: the interval, stretched by a random part of the jitter factor. */
export function nextReclaim(node: NodeCr, now: number, random: number): string {
  const { interval, jitterFactor } = node.spec.pool?.reclaim ?? {}
  const factor = Number(jitterFactor ?? reclaimDefaults.jitterFactor)
  return new Date(
    now + parseDuration(interval ?? reclaimDefaults.interval) * (1 + random * (Number.isFinite(factor) ? factor : 0)),
  ).toISOString()
}
