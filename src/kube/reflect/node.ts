// SPDX-License-Identifier: Apache-2.0
import * as Type from 'typebox'
import type { KubeObject, Resource } from '../port.ts'
import { resource } from '../resource.ts'
import type { ValueOf } from '../shape.ts'
import { slimMeta } from './pod.ts'

const text = Type.String()
const spec = Type.Object({
  providerID: Type.Optional(text),
  podCIDR: Type.Optional(text),
  unschedulable: Type.Optional(Type.Boolean()),
  taints: Type.Optional(Type.Array(Type.Object({ key: text }))),
})
const status = Type.Object({
  addresses: Type.Optional(Type.Array(Type.Object({ type: text, address: text }))),
  conditions: Type.Optional(
    Type.Array(
      Type.Object({
        type: text,
        status: text,
        reason: Type.Optional(text),
        message: Type.Optional(text),
        lastHeartbeatTime: Type.Optional(text),
        lastTransitionTime: Type.Optional(text),
      }),
    ),
  ),
  capacity: Type.Optional(Type.Record(Type.String(), text)),
  allocatable: Type.Optional(Type.Record(Type.String(), text)),
})

/** The Kubernetes node, trimmed. Not to be written back whole: use patch. Terway's own object of the same name is NodeCr. */
export interface Node extends KubeObject {
  readonly spec: ValueOf<typeof spec>
  readonly status?: ValueOf<typeof status>
}

/** Of a providerID as ACK sets it, `<region>.<instance id>`. */
export function instanceIdOf(node: Node): string | undefined {
  return node.spec.providerID?.split('.')[1]
}

const whole = resource<Node>({
  group: '',
  version: 'v1',
  plural: 'nodes',
  kind: 'Node',
  namespaced: false,
  unknown: 'drop',
  body: Type.Object({ spec, status: Type.Optional(status) }),
  upgrade: raw => ({ ...raw, spec: raw.spec ?? {} }),
})

export const nodes: Resource<Node> = {
  ...whole,
  parse: raw => {
    const n = whole.parse(raw)
    return { ...n, metadata: slimMeta(n.metadata) }
  },
}
