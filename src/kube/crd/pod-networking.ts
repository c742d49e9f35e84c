// SPDX-License-Identifier: Apache-2.0
import * as Type from 'typebox'
import { isObject } from '../parse.ts'
import type { KubeObject } from '../port.ts'
import { resource } from '../resource.ts'
import type { ValueOf } from '../shape.ts'
import { allocationType, group, type selectionPolicy, text, textMap, texts, time, version } from './common.ts'

/** PodNetworking: which pods get an ENI of their own, and from which vSwitches. Spec: the user; status: the controller. */
const atomic = { 'x-kubernetes-list-type': 'atomic' }
const requirement = Type.Object({ key: text, operator: text, values: Type.Optional(Type.Array(text, atomic)) })
const labelSelector = Type.Object(
  { matchLabels: Type.Optional(textMap), matchExpressions: Type.Optional(Type.Array(requirement, atomic)) },
  { 'x-kubernetes-map-type': 'atomic' },
)

export const podNetworkingSpec = Type.Object({
  eniOptions: Type.Object({ eniType: Type.Enum(['Trunk', 'ENI', 'Default'], { default: 'Default' }) }, { default: { eniType: 'Default' } }),
  allocationType: Type.Optional(allocationType),
  selector: Type.Optional(Type.Object({ podSelector: Type.Optional(labelSelector), namespaceSelector: Type.Optional(labelSelector) })),
  securityGroupIDs: Type.Optional(texts),
  vSwitchOptions: Type.Optional(texts),
  vSwitchSelectOptions: Type.Optional(
    Type.Object(
      { vSwitchSelectionPolicy: Type.Optional(Type.Enum(['ordered', 'random', 'most'], { default: 'ordered' })) },
      { default: { vSwitchSelectionPolicy: 'ordered' } },
    ),
  ),
})

export const podNetworkingStatus = Type.Object({
  status: Type.Optional(Type.String({ description: 'Ready or Fail' })),
  vSwitches: Type.Optional(Type.Array(Type.Object({ id: Type.Optional(text), zone: Type.Optional(text) }))),
  updateAt: Type.Optional(time),
  message: Type.Optional(text),
})

export type LabelSelector = ValueOf<typeof labelSelector>
export type PodNetworkingSpec = ValueOf<typeof podNetworkingSpec>
export type PodNetworkingStatus = ValueOf<typeof podNetworkingStatus>
export type SelectionPolicy = ValueOf<typeof selectionPolicy>

export interface PodNetworking extends KubeObject {
  readonly spec: PodNetworkingSpec
  readonly status?: PodNetworkingStatus
}

export const podNetworkings = resource<PodNetworking>({
  group,
  version,
  plural: 'podnetworkings',
  kind: 'PodNetworking',
  namespaced: false,
  unknown: 'keep',
  body: Type.Object({ spec: podNetworkingSpec, status: Type.Optional(podNetworkingStatus) }),
  // Objects from before eniOptions existed are still stored without it, and mean Default.
  upgrade: raw => {
    const spec = isObject(raw.spec) ? raw.spec : {}
    const eniOptions = isObject(spec.eniOptions) ? spec.eniOptions : {}
    return { ...raw, spec: { ...spec, eniOptions: { eniType: 'Default', ...eniOptions } } }
  },
})
