// SPDX-License-Identifier: Apache-2.0
import * as Type from 'typebox'
import type { KubeObject } from '../port.ts'
import { resource } from '../resource.ts'
import type { ValueOf } from '../shape.ts'

const spec = Type.Object({
  holderIdentity: Type.Optional(Type.String()),
  leaseDurationSeconds: Type.Optional(Type.Integer()),
  acquireTime: Type.Optional(Type.String({ format: 'date-time' })),
  renewTime: Type.Optional(Type.String({ format: 'date-time' })),
  leaseTransitions: Type.Optional(Type.Integer()),
})

export type LeaseSpec = ValueOf<typeof spec>

/** coordination.k8s.io/v1: who leads, and since when. Times carry microseconds. */
export interface Lease extends KubeObject {
  readonly spec?: LeaseSpec
}

export const leases = resource<Lease>({
  group: 'coordination.k8s.io',
  version: 'v1',
  plural: 'leases',
  kind: 'Lease',
  namespaced: true,
  unknown: 'keep',
  body: Type.Object({ spec: Type.Optional(spec) }),
})
