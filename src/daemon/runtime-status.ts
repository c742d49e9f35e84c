// SPDX-License-Identifier: Apache-2.0
import { podIdOf } from '#ipam/book.ts'
import type { Lease, ReleaseAnswer } from '#ipam/ledger.ts'
import type { NodeRuntimeStatus, RuntimePod } from '#kube/crd/node-runtime.ts'

/** How long a `deleted` entry stays after nobody refers to the pod any more, as with Terway. */
const keepDeleted = 5 * 60_000
/** How many of them stay at most, more than a node has pods: where many come and go each second, five minutes of them would fill every report. */
const mostDeleted = 256

export interface RuntimeInput {
  readonly leases: readonly Lease[]
  readonly releases: readonly ReleaseAnswer[]
  /** NodeRuntime.status as it is; what is there and ours no more is closed or removed. */
  readonly present: NodeRuntimeStatus | undefined
  /** podUID to podID of every address in Node.status that names a pod. */
  readonly bound: ReadonlyMap<string, string>
  /** Whether this pod is certainly gone from the API server. */
  readonly gone: (podId: string, uid: string) => boolean
  /** Wall-clock milliseconds. */
  readonly now: number
}

/**
 * NodeRuntime.status as it should be: `initial` with the addresses for every pod that holds a lease, dying ones included
 * (the address is not free yet); `deleted` for other pods that were reported before, for a while, and for pods that Node.status binds
 * although they are gone, so that a controller that waits for it frees their addresses. `releases` is always present: its
 * survival shows that the cluster's CRD knows the added fields.
 */
export function wantedRuntime(input: RuntimeInput): NodeRuntimeStatus {
  const pods: Record<string, RuntimePod> = {}
  for (const lease of input.leases) {
    if (lease.state === 'pending') continue
    // Two sandboxes of one pod: the one that lives speaks for it.
    if (pods[lease.podUid] !== undefined && lease.state === 'dying') continue
    pods[lease.podUid] = livePod(lease)
  }
  const unreferenced: [uid: string, pod: RuntimePod][] = []
  for (const [uid, pod] of Object.entries(input.present?.pods ?? {})) {
    if (pods[uid] !== undefined) continue
    const closed = closedPod(pod, input.now)
    if (input.bound.has(uid)) pods[uid] = closed
    else if (!expired(closed, input.now)) unreferenced.push([uid, closed])
  }
  const newestFirst = unreferenced.sort(([, a], [, b]) => deletedAt(b) - deletedAt(a))
  for (const [uid, closed] of newestFirst.slice(0, mostDeleted)) pods[uid] = closed
  for (const [uid, podId] of input.bound) {
    if (pods[uid] === undefined && input.gone(podId, uid))
      pods[uid] = { podID: podId, status: { deleted: { lastUpdateTime: stamp(input.now) } } }
  }
  return {
    pods,
    releases: Object.fromEntries(input.releases.map(r => [r.ip, { nonce: r.nonce, answer: r.answer, lastUpdateTime: stamp(r.since) }])),
  }
}

/** RFC 3339 in seconds, as metav1.Time. */
export function stamp(ms: number): string {
  return `${new Date(ms).toISOString().slice(0, 19)}Z`
}

function livePod(lease: Lease): RuntimePod {
  const { v4, v6, eni } = lease.attachment
  return {
    podID: podIdOf(lease),
    status: { initial: { lastUpdateTime: stamp(lease.since) } },
    ...(v4 && { ipv4: v4.address }),
    ...(v6 && { ipv6: v6.address }),
    eniID: eni.eniId,
    containerID: lease.containerId,
  }
}

/** Readers take the newest entry, in whole seconds: `initial` goes, so that there is no tie. The addresses go too: the pod holds none. */
function closedPod(pod: RuntimePod, now: number): RuntimePod {
  const deleted = pod.status.deleted ?? { lastUpdateTime: stamp(now) }
  return { podID: pod.podID, status: { deleted } }
}

function expired(pod: RuntimePod, now: number): boolean {
  return now - deletedAt(pod) > keepDeleted
}

function deletedAt(pod: RuntimePod): number {
  return Date.parse(pod.status.deleted?.lastUpdateTime ?? '')
}
