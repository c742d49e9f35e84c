// SPDX-License-Identifier: Apache-2.0
import type { ServiceOptions } from '#compile/service/state.ts'
import { capabilitiesPath } from '#config/capabilities.ts'
import type { PinnedMaps } from '#kernel/port.ts'
import type { Kube } from '#kube/port.ts'
import type { Clock } from '#lib/clock.ts'
import type { Logger } from '#lib/log.ts'
import type { PolicyMetrics } from '#lib/metrics.ts'
import type { GoneBackendsDeps } from '#policyd/gone-backends.ts'
import { defaultSyncOptions, type SyncOptions } from '#sync/sync.ts'

/** Everything that terway-policy reaches outside itself through; built once in main.ts, or by a test. */
export interface Deps {
  readonly kube: Kube
  readonly kernel: Pick<PinnedMaps, 'apply' | 'lookUp' | 'mapPage'>
  readonly clock: Clock
  readonly log: Logger
  readonly metrics: PolicyMetrics
  readonly cutSockets: GoneBackendsDeps['cutSockets']
}

export interface Options {
  readonly nodeName: string
  /** Where kube-proxy would serve /healthz and /livez. */
  readonly proxyHealth: string
  readonly sync: SyncOptions
  /** kube-proxy runs on the node too: whatever has its ports answers health checks, and nobody is told that terway-policy cannot. */
  readonly besideKubeProxy: boolean
  /** Milliseconds: what changes sooner after the last change than this is gathered for so long. */
  readonly gather: number
  /** Milliseconds between two tries to listen on a port that was taken. */
  readonly listenRetry: number
  readonly services: ServiceOptions
}

export const defaultOptions = {
  proxyHealth: ':10256',
  besideKubeProxy: false,
  sync: defaultSyncOptions,
  gather: 30,
  listenRetry: 5_000,
  services: {},
} as const satisfies Omit<Options, 'nodeName'>

/** Where terwayd says what it has decided for this node. */
export const decisionPath = capabilitiesPath
