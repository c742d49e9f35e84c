// SPDX-License-Identifier: Apache-2.0
import * as Type from 'typebox'
import type { KubeObject, ObjectMeta, Resource } from '../port.ts'
import { resource } from '../resource.ts'
import type { ValueOf } from '../shape.ts'

const text = Type.String()
const container = Type.Object({
  name: text,
  resources: Type.Optional(Type.Object({ limits: Type.Optional(Type.Record(Type.String(), Type.String())) })),
})
const spec = Type.Object({
  nodeName: Type.Optional(text),
  hostNetwork: Type.Optional(Type.Boolean()),
  restartPolicy: Type.Optional(text),
  containers: Type.Optional(Type.Array(container)),
  initContainers: Type.Optional(Type.Array(container)),
})
const status = Type.Object({
  phase: Type.Optional(text),
  podIP: Type.Optional(text),
  podIPs: Type.Optional(Type.Array(Type.Object({ ip: Type.Optional(text) }))),
})

export type PodContainer = ValueOf<typeof container>

/** A pod, trimmed to what Terway reads: about 0.5 KB of heap instead of 7. Not to be written back whole: use patch. */
export interface Pod extends KubeObject {
  readonly spec: ValueOf<typeof spec>
  readonly status?: ValueOf<typeof status>
}

const whole = resource<Pod>({
  group: '',
  version: 'v1',
  plural: 'pods',
  kind: 'Pod',
  namespaced: true,
  unknown: 'drop',
  body: Type.Object({ spec, status: Type.Optional(status) }),
})

export const pods: Resource<Pod> = { ...whole, parse: raw => trim(whole.parse(raw)) }

function trim(p: Pod): Pod {
  const { containers, initContainers, ...rest } = p.spec
  return {
    ...p,
    metadata: slimMeta(p.metadata),
    spec: {
      ...rest,
      ...(containers === undefined ? {} : { containers: ours(containers) }),
      ...(initContainers === undefined ? {} : { initContainers: ours(initContainers) }),
    },
  }
}

/** Only containers with a limit on an aliyun/* resource (aliyun/eni, aliyun/member-eni, aliyun/erdma), and only those limits: Terway decides by nothing else. */
function ours(containers: readonly PodContainer[]): readonly PodContainer[] {
  return containers.flatMap(c => {
    const limits = Object.entries(c.resources?.limits ?? {}).filter(([name]) => name.startsWith('aliyun/'))
    return limits.length === 0 ? [] : [{ name: c.name, resources: { limits: Object.fromEntries(limits) } }]
  })
}

/** A whole ENI, in limits of containers. */
export const wholeEni = 'aliyun/eni'

/** What the pod's containers name of ENIs in their limits. */
export function eniLimits(pod: Pod): readonly string[] {
  const containers = [...(pod.spec.containers ?? []), ...(pod.spec.initContainers ?? [])]
  return containers.flatMap(c => Object.keys(c.resources?.limits ?? {})).filter(name => /^aliyun\/(eni|member-eni|erdma)$/.test(name))
}

/** The annotation by which the pod says in which network an ENI of its own is to be. */
export function ownNetwork(pod: Pod): string | undefined {
  const names = ['pod-networks', 'pod-networks-request', 'pod-networking'].map(name => `k8s.aliyun.com/${name}`)
  return names.find(name => pod.metadata.annotations?.[name] !== undefined)
}

/** Without kubectl's copy of the whole object. */
export function slimMeta(meta: ObjectMeta): ObjectMeta {
  const copy = 'kubectl.kubernetes.io/last-applied-configuration'
  if (meta.annotations?.[copy] === undefined) return meta
  const { [copy]: _, ...annotations } = meta.annotations
  return { ...meta, annotations }
}
