// SPDX-License-Identifier: Apache-2.0
import { Type } from 'typebox'
import type { Kube, KubeObject, Resource } from '#kube/port.ts'
import { resource } from '#kube/resource.ts'

/** One implementation of the Kube port, and what a test can do to it from outside. */
export interface World {
  /** Every client is a process of its own to the server. */
  client(): Kube
  /** A client that nothing below happens to. */
  readonly admin: Kube
  /** Resets the connections of every client. */
  disconnect(): void
  /** Clients cannot reach the server until the returned function is called. */
  away(): () => void
  /** Makes every version up to now too old to watch from. Clients must be away. */
  expire(): Promise<void>
  stop(): Promise<void>
}

/** A kind whose reader is stricter than the API server, so that a garbage object can exist. */
export interface Thing extends KubeObject {
  readonly spec: { readonly port: number }
}

export const things: Resource<Thing> = resource({
  group: 'conformance.network.alibabacloud.com',
  version: 'v1',
  plural: 'things',
  kind: 'Thing',
  namespaced: false,
  unknown: 'keep',
  body: Type.Object({ spec: Type.Object({ port: Type.Integer() }) }),
})

/** The same kind without any check: the writer of the garbage. */
export const anyThings: Resource<KubeObject> = resource({
  group: 'conformance.network.alibabacloud.com',
  version: 'v1',
  plural: 'things',
  kind: 'Thing',
  namespaced: false,
  unknown: 'keep',
  body: Type.Object({}),
})

export const thingsCrd = {
  apiVersion: 'apiextensions.k8s.io/v1',
  kind: 'CustomResourceDefinition',
  metadata: { name: 'things.conformance.network.alibabacloud.com' },
  spec: {
    group: 'conformance.network.alibabacloud.com',
    names: { kind: 'Thing', listKind: 'ThingList', plural: 'things', singular: 'thing' },
    scope: 'Cluster',
    versions: [
      {
        name: 'v1',
        served: true,
        storage: true,
        schema: { openAPIV3Schema: { type: 'object', 'x-kubernetes-preserve-unknown-fields': true } },
        subresources: { status: {} },
      },
    ],
  },
}
