// SPDX-License-Identifier: Apache-2.0
import * as Type from 'typebox'
import type { KubeObject, Resource } from '../port.ts'
import { resource } from '../resource.ts'
import type { ValueOf } from '../shape.ts'
import { slimMeta } from './pod.ts'

const text = Type.String()
const names = Type.Array(Type.Object({ name: text }))
const endpoint = Type.Object({
  addresses: Type.Array(text),
  conditions: Type.Optional(
    Type.Object({
      ready: Type.Optional(Type.Boolean()),
      serving: Type.Optional(Type.Boolean()),
      terminating: Type.Optional(Type.Boolean()),
    }),
  ),
  nodeName: Type.Optional(text),
  hints: Type.Optional(Type.Object({ forZones: Type.Optional(names), forNodes: Type.Optional(names) })),
})
const port = Type.Object({ name: Type.Optional(text), protocol: Type.Optional(text), port: Type.Optional(Type.Integer()) })

/** discovery.k8s.io/v1: some of a Service's endpoints, trimmed. A slice of names (addressType FQDN) is one without endpoints. */
export interface EndpointSlice extends KubeObject {
  readonly addressType: string
  readonly endpoints: readonly ValueOf<typeof endpoint>[]
  readonly ports: readonly ValueOf<typeof port>[]
}

const body = Type.Object({ addressType: text, endpoints: Type.Array(endpoint), ports: Type.Array(port) })
const whole = resource<EndpointSlice>({
  group: 'discovery.k8s.io',
  version: 'v1',
  plural: 'endpointslices',
  kind: 'EndpointSlice',
  namespaced: true,
  unknown: 'drop',
  body,
  upgrade: raw => ({ ...raw, endpoints: (isAddressed(raw) && raw.endpoints) || [], ports: raw.ports ?? [] }),
})

function isAddressed(raw: Readonly<Record<string, unknown>>): boolean {
  return raw.addressType === 'IPv4' || raw.addressType === 'IPv6'
}

export const endpointSlices: Resource<EndpointSlice> = {
  ...whole,
  parse: raw => {
    const slice = whole.parse(raw)
    return { ...slice, metadata: slimMeta(slice.metadata) }
  },
}
