// SPDX-License-Identifier: Apache-2.0
import type { Node } from '#kube/reflect/node.ts'
import type { Answer } from '#rpc/http/serve.ts'

/** What kube-proxy's health depends on. */
export interface ProxyState {
  /** Milliseconds for which the oldest change waits to be written; undefined = nothing waits. */
  readonly waiting: number | undefined
  /** The node is not on its way out. */
  readonly eligible: boolean
  /** Wall-clock milliseconds of the last write; undefined = there was none. */
  readonly lastWrite: number | undefined
}

/** Of kube-proxy: twice the period in which it writes everything anew. Milliseconds. */
const timeout = 60_000
const toBeDeleted = 'ToBeDeletedByClusterAutoscaler'

/** Load balancers take their connections away from a node before it goes. */
export function isEligible(node: Node): boolean {
  return node.metadata.deletionTimestamp === undefined && !(node.spec.taints ?? []).some(t => t.key === toBeDeleted)
}

export function isHealthy({ waiting }: ProxyState): boolean {
  return waiting === undefined || waiting < timeout
}

/** kube-proxy's /healthz, which load balancers ask for Services of policy Cluster. */
export function healthz(state: ProxyState, wall: number): Answer {
  return answer(isHealthy(state) && state.eligible, state, wall, { nodeEligible: state.eligible })
}

/** kube-proxy's /livez: the node's fate is no reason to start anew. */
export function livez(state: ProxyState, wall: number): Answer {
  return answer(isHealthy(state), state, wall, {})
}

function answer(ok: boolean, { lastWrite }: ProxyState, wall: number, more: object): Answer {
  const time = (ms: number) => new Date(ms).toISOString()
  // A healthy one has nothing left to write: it is up to date now.
  const body = { lastUpdated: time(ok ? wall : (lastWrite ?? 0)), currentTime: time(wall), ...more }
  return { status: ok ? 200 : 503, headers: { 'x-content-type-options': 'nosniff' }, body }
}
