// SPDX-License-Identifier: Apache-2.0
import * as Type from 'typebox'
import type { KubeObject } from '../port.ts'
import { resource } from '../resource.ts'
import type { ValueOf } from '../shape.ts'
import { allocationType, podEniSpec as eni, eniInfo, flag, group, text, textMap, time, version } from './common.ts'

/** PodENI: the ENIs of one pod, in the pod's namespace and with its name. Written by the pod and pod-eni controllers. */
const allocation = Type.Object({
  allocationType: Type.Optional(allocationType),
  eni: Type.Optional(eni),
  ipv4: Type.Optional(text),
  ipv6: Type.Optional(text),
  ipv4CIDR: Type.Optional(text),
  ipv6CIDR: Type.Optional(text),
  interface: Type.Optional(text),
  defaultRoute: Type.Optional(flag),
  extraRoutes: Type.Optional(Type.Array(Type.Object({ dst: Type.Optional(text) }))),
  extraConfig: Type.Optional(textMap),
})

export const podEniObjectSpec = Type.Object({
  zone: Type.Optional(text),
  allocations: Type.Optional(Type.Array(allocation)),
})

export const podEniStatus = Type.Object({
  phase: Type.Optional(Type.String({ description: 'empty, Binding, Bind, Detaching, Unbind or Deleting' })),
  instanceID: Type.Optional(text),
  trunkENIID: Type.Optional(text),
  msg: Type.Optional(text),
  podLastSeen: Type.Optional(time),
  eniInfos: Type.Optional(Type.Record(Type.String(), eniInfo, { description: 'the attached ENIs, by ENI id' })),
})

export type PodEniAllocation = ValueOf<typeof allocation>
export type PodEniSpec = ValueOf<typeof podEniObjectSpec>
export type PodEniStatus = ValueOf<typeof podEniStatus>
export type EniInfo = ValueOf<typeof eniInfo>

export interface PodEni extends KubeObject {
  readonly spec: PodEniSpec
  readonly status?: PodEniStatus
}

export const podEnis = resource<PodEni>({
  group,
  version,
  plural: 'podenis',
  kind: 'PodENI',
  namespaced: true,
  unknown: 'keep',
  body: Type.Object({ spec: podEniObjectSpec, status: Type.Optional(podEniStatus) }),
  upgrade: raw => ({ ...raw, spec: raw.spec ?? {} }),
})
