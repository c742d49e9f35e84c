// SPDX-License-Identifier: Apache-2.0
import type { CloudFor } from '#cloud/execute.ts'
import type { Throttle } from '#cloud/throttle.ts'
import { defaultWindows, type Windows } from '#controller/eni/memory.ts'
import { record } from '#controller/eni/record.ts'
import { plan } from '#ipam/plan.ts'
import { poolOf } from '#ipam/pool.ts'
import type { Kube } from '#kube/port.ts'
import type { Clock } from '#lib/clock.ts'
import type { Logger } from '#lib/log.ts'

/** What the controller's rounds report, for metrics. Milliseconds. */
export interface ControllerObserver {
  reconciled(step: string, node: string, ms: number): void
  adjusted(node: string): void
  synced(node: string): void
  attached(result: 'success' | 'failure', eniType: string, ms: number): void
  attaching(node: string, count: number): void
}

export const noObserver: ControllerObserver = {
  reconciled: () => undefined,
  adjusted: () => undefined,
  synced: () => undefined,
  attached: () => undefined,
  attaching: () => undefined,
}

/** Everything the controller reaches outside itself through; built once in main.ts, or by a test. */
export interface ControllerDeps {
  readonly kube: Kube
  readonly cloudFor: CloudFor
  readonly throttle: Throttle
  readonly clock: Clock
  readonly log: Logger
  readonly observer: ControllerObserver
  /** The pure decisions; tests replace one of them to prove that its absence would be noticed. */
  readonly decisions: Decisions
}

export interface Decisions {
  readonly poolOf: typeof poolOf
  readonly plan: typeof plan
  readonly record: typeof record
}

export const decisions: Decisions = { poolOf, plan, record }

/** Durations in milliseconds. */
export interface ControllerOptions {
  readonly clusterId: string
  readonly vpcId: string
  readonly nodeConcurrency: number
  readonly nodeLabelWhiteList: Readonly<Record<string, string>>
  /** Comparison of each node with the cloud; the real time between two is this × (1 + random). */
  readonly syncPeriod: number
  /** Pool adjustment, for nodes whose spec names no period. */
  readonly adjustPeriod: number
  readonly minFailureDelay: number
  readonly maxFailureDelay: number
  /** Between two looks for ENIs that nothing accounts for, and the age from which such an ENI is deleted. */
  readonly leakPeriod: number
  readonly leakAge: number
  /** How long a deleted Kubernetes node may come back before the ENIs are taken from its living instance. */
  readonly leaveGrace: number
  readonly windows: Windows
}

export const defaultControllerOptions = {
  nodeConcurrency: 500,
  nodeLabelWhiteList: {},
  syncPeriod: 12 * 3_600_000,
  adjustPeriod: 120_000,
  minFailureDelay: 1_000,
  maxFailureDelay: 300_000,
  leakPeriod: 600_000,
  leakAge: 600_000,
  leaveGrace: 60_000,
  windows: defaultWindows,
} as const satisfies Omit<ControllerOptions, 'clusterId' | 'vpcId'>
