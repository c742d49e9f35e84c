// SPDX-License-Identifier: Apache-2.0
import * as Type from 'typebox'
import type { KubeObject } from '../port.ts'
import { resource } from '../resource.ts'
import type { ValueOf } from '../shape.ts'
import { podEniSpec as eni, eniInfo, flag, group, int, text, textMap, version } from './common.ts'

/** NetworkInterface: one ENI of pods, named by its ENI id. Created by the pod controller; `status.phase` carries the requests. */
const podReference = Type.Object(
  {
    apiVersion: Type.Optional(text),
    fieldPath: Type.Optional(text),
    kind: Type.Optional(text),
    name: Type.Optional(text),
    namespace: Type.Optional(text),
    resourceVersion: Type.Optional(text),
    uid: Type.Optional(text),
  },
  { 'x-kubernetes-map-type': 'atomic' },
)

export const networkInterfaceSpec = Type.Object({
  eni: Type.Optional(eni),
  ipv4: Type.Optional(text),
  ipv6: Type.Optional(text),
  ipv4CIDR: Type.Optional(text),
  ipv6CIDR: Type.Optional(text),
  extraConfig: Type.Optional(textMap),
  managePolicy: Type.Optional(Type.Object({ cache: Type.Optional(flag), unManaged: Type.Optional(flag) })),
  podENIRef: Type.Optional(podReference),
})

export const networkInterfaceStatus = Type.Object({
  phase: Type.String({ description: 'empty (idle), Binding, Bind, Detaching, Unbind or Deleting' }),
  eniInfo,
  instanceID: Type.Optional(text),
  trunkENIID: Type.Optional(text),
  networkCardIndex: Type.Optional(int),
  nodeName: Type.Optional(text),
})

export type NetworkInterfaceSpec = ValueOf<typeof networkInterfaceSpec>
export type NetworkInterfaceStatus = ValueOf<typeof networkInterfaceStatus>

export interface NetworkInterface extends KubeObject {
  readonly spec: NetworkInterfaceSpec
  readonly status?: NetworkInterfaceStatus
}

export const networkInterfaces = resource<NetworkInterface>({
  group,
  version,
  plural: 'networkinterfaces',
  kind: 'NetworkInterface',
  namespaced: false,
  unknown: 'keep',
  body: Type.Object({ spec: networkInterfaceSpec, status: Type.Optional(networkInterfaceStatus) }),
  upgrade: raw => ({ ...raw, spec: raw.spec ?? {} }),
})
