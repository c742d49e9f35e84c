// SPDX-License-Identifier: Apache-2.0
import * as Type from 'typebox'
import type { KubeObject } from '../port.ts'
import { resource } from '../resource.ts'
import type { ValueOf } from '../shape.ts'
import { group, text, time, version } from './common.ts'

/**
 * NodeRuntime: the daemon's report, and its only writer. `pods` is keyed by pod UID; the entry of `status` with the newest
 * time says whether the pod's sandbox exists (`initial`) or is gone (`deleted`). ipv4, ipv6, eniID, containerID and
 * `releases` are ours (docs/addresses.md), optional, ignored by Terway.
 */
const runtimePod = Type.Object({
  podID: Type.String({ description: 'namespace/name' }),
  status: Type.Record(Type.String(), Type.Object({ lastUpdateTime: time }), { description: 'initial or deleted, with the time' }),
  ipv4: Type.Optional(text),
  ipv6: Type.Optional(text),
  eniID: Type.Optional(text),
  containerID: Type.Optional(text),
})

const release = Type.Object({
  nonce: text,
  answer: Type.Enum(['acked', 'refused']),
  lastUpdateTime: time,
})

export const nodeRuntimeSpec = Type.Object({})
export const nodeRuntimeStatus = Type.Object({
  pods: Type.Optional(Type.Record(Type.String(), runtimePod, { description: 'by pod UID' })),
  releases: Type.Optional(Type.Record(Type.String(), release, { description: 'answers to addresses marked Deleting, by address' })),
})

export type NodeRuntimeStatus = ValueOf<typeof nodeRuntimeStatus>
export type RuntimePod = ValueOf<typeof runtimePod>
export type Release = ValueOf<typeof release>

/** `noderuntimes.network.alibabacloud.com`, cluster-scoped, named like the Kubernetes node. */
export interface NodeRuntime extends KubeObject {
  readonly spec: ValueOf<typeof nodeRuntimeSpec>
  readonly status?: NodeRuntimeStatus
}

export const nodeRuntimes = resource<NodeRuntime>({
  group,
  version,
  plural: 'noderuntimes',
  kind: 'NodeRuntime',
  namespaced: false,
  unknown: 'keep',
  body: Type.Object({ spec: nodeRuntimeSpec, status: Type.Optional(nodeRuntimeStatus) }),
  upgrade: raw => ({ ...raw, spec: raw.spec ?? {} }),
})
