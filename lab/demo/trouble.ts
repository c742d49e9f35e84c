// SPDX-License-Identifier: Apache-2.0

import { get } from '../get.ts'
import type { Lab } from '../lab.ts'
import { type Pod, podsOf } from '../pods.ts'

export interface KubeEvent {
  readonly reason: string
  readonly message: string
  readonly type: string
  readonly involvedObject: { readonly kind: string; readonly name: string; readonly namespace?: string }
}

/** Warnings that belong to the scenario, each with the reason why. */
const announced: readonly { readonly reason: string; readonly message: RegExp; readonly why: string }[] = [
  { reason: 'InvalidDiskCapacity', message: /invalid capacity 0/, why: "a kubelet's first look at its image file system" },
  { reason: 'FailedScheduling', message: /not-ready|no nodes available/, why: 'pods are created while the nodes have no CNI plugin yet' },
  { reason: 'CgroupV1', message: /maintenance mode/, why: "this machine's cgroup v1, which the kubelet uses" },
  {
    reason: 'FailedMount',
    message: /kube-root-ca\.crt" not found|failed to sync (configmap|secret) cache: timed out/,
    why: 'pods that are created in the first seconds of a cluster',
  },
  {
    reason: 'Unhealthy',
    message: /probe failed: .*(:91(29|30)\/healthz|:8080\/readyz|statuscode: 503)/,
    why: "Terway's own pods before they are ready",
  },
  {
    reason: 'Unhealthy',
    message: /^Startup probe failed: Get "http:\/\/\S+:8080\/": dial tcp \S+: connect: connection refused$/,
    why: 'a kubelet asks a pod of the application that does not listen yet',
  },
  // The controller manager reads its own writes late: it creates the Endpoints twice, or updates an older version, and tries again.
  {
    reason: 'FailedToCreateEndpoint',
    message: /endpoints "\S+" already exists$/,
    why: "Kubernetes' controller of Endpoints, on a busy machine",
  },
  {
    reason: 'FailedToUpdateEndpoint',
    message: /the object has been modified/,
    why: "Kubernetes' controller of Endpoints, on a busy machine",
  },
  {
    reason: 'FailedMount',
    message: /node requested token bound to a pod scheduled on a different node$/,
    why: "the API server's view of a pod is older than the kubelet's on a busy machine; the kubelet asks again",
  },
  {
    reason: 'ClusterIPNotAllocated',
    message: /is not allocated; repairing$/,
    why: "the API server's look at a Service whose address it has just allocated, on a busy machine: it reads its own write late",
  },
  {
    reason: 'FailedKillPod',
    message:
      /^error killing pod: \[?(failed to "KillContainer" for "\w+" with KillContainerError: "rpc error: code = DeadlineExceeded[^,\]]*(, )?)+\]?$/,
    why: 'containerd on a busy machine answers late; the kubelet asks again. A sandbox that cannot be ended is KillPodSandbox, and trouble',
  },
  { reason: 'NetworkNotReady', message: /cni plugin not initialized/, why: 'a kubelet before the CNI plugin is there' },
]

/** Warning events that nobody announced, one line each. Pure. */
export function unannounced(events: readonly KubeEvent[]): string[] {
  return events
    .filter(e => e.type === 'Warning' && !announced.some(a => a.reason === e.reason && a.message.test(e.message)))
    .map(e => `${e.involvedObject.kind} ${e.involvedObject.name}: ${e.reason}: ${e.message}`)
}

/** Lines of Terway's JSON logs at level error or worse; a line that is no JSON is a crash's last words and counts too. Pure. */
export function errorLines(log: string): string[] {
  return log
    .split('\n')
    .filter(line => line.trim() !== '')
    .filter(line => {
      try {
        const { level } = JSON.parse(line) as { level?: unknown }
        return level === 'error' || level === 'fatal'
      } catch {
        return true
      }
    })
}

export async function warningEvents(lab: Lab): Promise<string[]> {
  return unannounced(await get<KubeEvent[]>(lab, 'events', '--all-namespaces'))
}

export async function terwayErrors(lab: Lab): Promise<string[]> {
  const pods = [...(await podsOf(lab, 'app=terway-eniip')), ...(await podsOf(lab, 'app=terway-controlplane'))]
  const logs = await Promise.all(
    pods.map(async ({ metadata }) => {
      const log = await lab.kubectl(['logs', '-n', metadata.namespace, metadata.name, '--all-containers', '--ignore-errors'])
      // The init container prints a plain sentence about the copied plugin.
      return errorLines(log.replace(/^\/host-cni-bin\/\S+ (installed|is up to date)$/gm, '')).map(line => `${metadata.name}: ${line}`)
    }),
  )
  return logs.flat()
}

export async function restarts(lab: Lab): Promise<string[]> {
  const pods = await get<Pod[]>(lab, 'pods', '--all-namespaces')
  return pods.flatMap(p =>
    (p.status.containerStatuses ?? [])
      .filter(c => c.restartCount > 0)
      .map(c => `${p.metadata.name}/${c.name} restarted ${c.restartCount}×`),
  )
}
