// SPDX-License-Identifier: Apache-2.0
import { serviceFlag } from '#kernel/bpf/words.ts'
import type { Service } from '#kube/reflect/service.ts'
import type { Cidr } from '#net/cidr.ts'
import { nameOfTarget, type Target } from '#state/target.ts'
import type { FrontendPlan, ServicePlan, Use } from './plan.ts'

export interface BackendView {
  readonly id: number
  /** `10.0.0.7:8080/TCP` */
  readonly address: string
}

export interface FrontendView {
  readonly address: string
  readonly kind: FrontendPlan['kind']
  /** False: an older Service has it. */
  readonly served: boolean
  readonly sourceRanges: readonly Cidr[]
  /** For pods and the node itself, and for who comes from outside. */
  readonly inside: UseView
  readonly outside?: UseView
}

export interface UseView {
  readonly local: boolean
  readonly keepSource: boolean
  readonly backends: readonly BackendView[]
}

/** A Service as this node serves it. */
export interface ServiceView {
  readonly namespace: string
  readonly name: string
  readonly affinitySeconds: number
  readonly maglev: boolean
  readonly frontends: readonly FrontendView[]
}

export interface Served {
  readonly isHashed: boolean
  isServed(f: FrontendPlan): boolean
  backends(set: string): readonly { readonly id: number; readonly target: Target }[]
}

export function viewOf({ metadata }: Service, plan: ServicePlan, served: Served): ServiceView {
  const use = (u: Use): UseView => ({
    local: (u.flags & serviceFlag.local) !== 0,
    keepSource: (u.flags & serviceFlag.keepSource) !== 0,
    backends: served.backends(u.set).map(b => ({ id: b.id, address: nameOfTarget(b.target) })),
  })
  return {
    namespace: metadata.namespace ?? '',
    name: metadata.name,
    affinitySeconds: plan.frontends[0]?.inside.affinitySeconds ?? 0,
    maglev: served.isHashed,
    frontends: plan.frontends.map(f => ({
      address: nameOfTarget(f),
      kind: f.kind,
      served: served.isServed(f),
      sourceRanges: f.sourceRanges,
      inside: use(f.inside),
      ...(f.outside && { outside: use(f.outside) }),
    })),
  }
}
