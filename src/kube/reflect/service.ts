// SPDX-License-Identifier: Apache-2.0
import * as Type from 'typebox'
import type { KubeObject, Resource } from '../port.ts'
import { resource } from '../resource.ts'
import type { ValueOf } from '../shape.ts'
import { slimMeta } from './pod.ts'

const text = Type.String()
const texts = Type.Array(text)
/** Not `targetPort`: the slices say what it came to. */
const port = Type.Object({
  name: Type.Optional(text),
  protocol: Type.Optional(text),
  port: Type.Integer(),
  nodePort: Type.Optional(Type.Integer()),
})
const spec = Type.Object({
  type: Type.Optional(text),
  clusterIP: Type.Optional(text),
  clusterIPs: Type.Optional(texts),
  ports: Type.Optional(Type.Array(port)),
  externalIPs: Type.Optional(texts),
  loadBalancerSourceRanges: Type.Optional(texts),
  sessionAffinity: Type.Optional(text),
  sessionAffinityConfig: Type.Optional(
    Type.Object({ clientIP: Type.Optional(Type.Object({ timeoutSeconds: Type.Optional(Type.Integer()) })) }),
  ),
  externalTrafficPolicy: Type.Optional(text),
  internalTrafficPolicy: Type.Optional(text),
  healthCheckNodePort: Type.Optional(Type.Integer()),
})
const status = Type.Object({
  loadBalancer: Type.Optional(
    Type.Object({ ingress: Type.Optional(Type.Array(Type.Object({ ip: Type.Optional(text), ipMode: Type.Optional(text) }))) }),
  ),
})

/** A Service, trimmed to what decides where packets go. Not to be written back whole: use patch. */
export interface Service extends KubeObject {
  readonly spec: ValueOf<typeof spec>
  readonly status?: ValueOf<typeof status>
}

const whole = resource<Service>({
  group: '',
  version: 'v1',
  plural: 'services',
  kind: 'Service',
  namespaced: true,
  unknown: 'drop',
  body: Type.Object({ spec, status: Type.Optional(status) }),
  upgrade: raw => ({ ...raw, spec: raw.spec ?? {} }),
})

export const services: Resource<Service> = {
  ...whole,
  parse: raw => {
    const s = whole.parse(raw)
    return { ...s, metadata: slimMeta(s.metadata) }
  },
}
