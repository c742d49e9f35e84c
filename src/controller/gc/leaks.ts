// SPDX-License-Identifier: Apache-2.0
import type { Eni } from '#cloud/port.ts'
import { intentTag, isOwn } from '#controller/tags.ts'
import type { NodeCr } from '#kube/crd/node.ts'

export interface LeakFacts {
  /** ENIs with our tags, described *before* `crs` and `instances` were read. */
  readonly enis: readonly Eni[]
  readonly crs: readonly NodeCr[]
  /** Instances of Kubernetes nodes. */
  readonly instances: ReadonlySet<string>
  readonly clusterId: string
  /** Wall-clock milliseconds, and the age from which an ENI counts. */
  readonly now: number
  readonly age: number
}

export interface Leaks {
  /** Unattached, and nothing accounts for them. */
  readonly toDelete: readonly Eni[]
  /** On an instance that is no node any more. */
  readonly toDetach: readonly Eni[]
  /** On the instance of a node whose record lacks them: the node must look again. */
  readonly unrecorded: readonly { readonly node: string; readonly eniId: string }[]
}

/**
 * ENIs that nothing accounts for. Every ENI of ours is created under an intent, and its intent leaves the Node CR in the patch
 * that records the ENI; so an ENI described earlier than the CRs were read is in one of them, or leaked. The age is for clocks
 * and lag.
 */
export function findLeaks(f: LeakFacts): Leaks {
  const recorded = new Set(f.crs.flatMap(cr => Object.keys(cr.status?.networkInterfaces ?? {})))
  const intents = new Set(f.crs.flatMap(cr => Object.keys(cr.status?.intents ?? {})))
  const nodeOf = new Map(f.crs.map(cr => [cr.spec.nodeMetadata?.instanceID ?? '', cr.metadata.name]))
  const leaked = f.enis.filter(e => {
    if (!isOwn(e.tags, f.clusterId) || recorded.has(e.id)) return false
    if (e.type !== 'Secondary' && e.type !== 'Trunk') return false
    if (e.tags.some(t => t.key === intentTag && intents.has(t.value))) return false
    const created = Date.parse(e.creationTime ?? '')
    return !Number.isNaN(created) && f.now - created >= f.age
  })
  const attached = leaked.filter(e => e.status === 'InUse' && e.instanceId !== undefined)
  return {
    toDelete: leaked.filter(e => e.status === 'Available'),
    toDetach: attached.filter(e => !nodeOf.has(e.instanceId ?? '') && !f.instances.has(e.instanceId ?? '')),
    unrecorded: attached.flatMap(e => {
      const node = nodeOf.get(e.instanceId ?? '')
      return node === undefined ? [] : [{ node, eniId: e.id }]
    }),
  }
}
