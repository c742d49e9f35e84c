// SPDX-License-Identifier: Apache-2.0
import type { KnownMode } from '#daemon/pod.ts'
import type { Cooling, Lease, ReleaseAnswer } from '#ipam/ledger.ts'
import type { NodeLimits, PoolView } from '#ipam/node-pool.ts'
import type { Binding } from '#ipam/release.ts'

/** One ADD in progress. */
export interface Waiting {
  readonly namespace: string
  readonly name: string
  readonly containerId: string
  /** pod, lease or kernel. */
  readonly step: string
  /** Wall-clock milliseconds. */
  readonly since: number
  /** What is missing, for people. */
  readonly reason: string
}

export type Readiness = { readonly ready: true } | { readonly ready: false; readonly reason: string }

/** What a pod has or waits for: the decisive fact first. */
export interface Why {
  readonly pod: string
  readonly state: 'leased' | 'waiting' | 'unknown'
  readonly findings: readonly string[]
}

/** The daemon at this instant, for metrics, gRPC, the debug socket and the CLI. Every call reads memory only. */
export interface DaemonState {
  readonly nodeName: string
  leases(): readonly Lease[]
  cooling(): readonly Cooling[]
  releases(): readonly ReleaseAnswer[]
  pool(): PoolView
  limits(): NodeLimits
  eniMode(): KnownMode
  binding(): Binding
  waiting(): readonly Waiting[]
  readiness(): Readiness
  /** What the last comparison with the kernel, the last watch event and the last report were: names to texts. */
  trace(): Readonly<Record<string, string>>
  why(namespace: string, name: string): Why
}
