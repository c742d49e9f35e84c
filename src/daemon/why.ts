// SPDX-License-Identifier: Apache-2.0
import { isTerminal, judgePod, type KnownMode } from '#daemon/pod.ts'
import type { Waiting, Why } from '#daemon/state.ts'
import { addressesOf } from '#ipam/book.ts'
import type { Lease } from '#ipam/ledger.ts'
import type { Counts, PoolView } from '#ipam/node-pool.ts'
import type { Binding } from '#ipam/release.ts'
import type { Pod } from '#kube/reflect/pod.ts'
import { familiesOf, type Stack } from '#net/stack.ts'

export interface WhyInput {
  readonly namespace: string
  readonly name: string
  readonly nodeName: string
  readonly pod: Pod | undefined
  readonly leases: readonly Lease[]
  readonly waiting: readonly Waiting[]
  readonly pool: PoolView
  readonly binding: Binding
  readonly mode: KnownMode
  /** Of the pods to come. */
  readonly stack: Stack
  /** Empty when CNI is served. */
  readonly notReady: string
  /** Wall-clock milliseconds. */
  readonly now: number
}

/** What a pod has, or what it waits for and since when; the decisive fact first. Names and addresses only, no secrets. */
export function whyOf(input: WhyInput): Why {
  const id = `${input.namespace}/${input.name}`
  const mine = input.leases.filter(l => l.podNamespace === input.namespace && l.podName === input.name)
  const waiting = input.waiting.filter(w => w.namespace === input.namespace && w.name === input.name)
  const state = waiting.length > 0 ? 'waiting' : mine.some(l => l.state === 'held') ? 'leased' : 'unknown'
  const findings = [
    ...waiting.map(
      w => `ADD of container ${w.containerId} is in step ${w.step} since ${seconds(input.now - w.since)}: ${w.reason || 'working'}`,
    ),
    ...mine.map(
      l => `container ${l.containerId} has ${addressesOf(l).join(', ')} of ${ofEni(l)}: ${l.state} since ${seconds(input.now - l.since)}`,
    ),
    ...(input.notReady === '' ? [] : [`terwayd is not ready: ${input.notReady}`]),
    aboutPod(input, id),
    ...(input.mode === 'exclusive' ? [exclusiveNode(input)] : []),
    ...familiesOf(input.stack).map(f => `addresses IPv${f}: ${words(input.pool.counts[f])}`),
    `binding ${input.binding.mode}: ${input.binding.reason}`,
    ...input.pool.enis.filter(e => !e.usable).map(e => `ENI ${e.eniId} ${e.reason}`),
    ...input.pool.enis.flatMap(e => e.conditions.map(c => `ENI ${e.eniId}: ${c}`)),
  ]
  return { pod: id, state, findings }
}

/** Pods without a limit are not counted by the scheduler, and take an ENI all the same. */
function exclusiveNode({ pool, leases }: WhyInput): string {
  return `exclusive node: each pod takes a whole ENI (limit aliyun/eni), ${leases.length} of ${pool.enis.length} ENIs have their pod`
}

function ofEni({ attachment: { kind, eni } }: Lease): string {
  return kind === 'exclusive-eni' ? `its own ENI ${eni.eniId} (exclusive)` : `ENI ${eni.eniId}`
}

function aboutPod({ pod, nodeName, mode }: WhyInput, id: string): string {
  if (pod === undefined) return `pod ${id} is not on node ${nodeName}, as far as the API server has told`
  if (isTerminal(pod)) return `pod ${id} has finished (${pod.status?.phase})`
  const verdict = judgePod(pod, nodeName, mode)
  return verdict.kind === 'serve' ? `pod ${id} is known (UID ${pod.metadata.uid})` : verdict.reason
}

function words(counts: Counts): string {
  return Object.entries(counts)
    .map(([state, n]) => `${n} ${state}`)
    .join(', ')
}

function seconds(ms: number): string {
  return `${(Math.max(0, ms) / 1000).toFixed(1)} s`
}
