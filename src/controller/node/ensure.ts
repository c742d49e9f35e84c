// SPDX-License-Identifier: Apache-2.0
import type { ControllerDeps } from '#controller/deps.ts'
import type { NodeRecord } from '#controller/eni/node-record.ts'
import type { Identity } from '#controller/node/identity.ts'
import { capacityOf, type InstanceTypes, maxAvailableIp } from '#controller/node/limits.ts'
import { eniModeLabel, eniModeOf, type NodeCr, nodeCrs } from '#kube/crd/node.ts'
import type { OwnerReference } from '#kube/port.ts'
import { type Node, nodes } from '#kube/reflect/node.ts'
import { AppError } from '#lib/errors.ts'
import { diffMerge } from '#lib/merge-patch.ts'

export const finalizer = 'network.alibabacloud.com/node-controller'
const maxAvailableAnnotation = 'k8s.aliyun.com/max-available-ip'

type Served = Identity & { readonly served: true }

/** The Node CR of a Kubernetes node: created with its finalizer, so that no ENI can exist for a CR that vanishes unnoticed. */
export async function ensureNodeCr(
  deps: ControllerDeps,
  types: InstanceTypes,
  node: Node,
  identity: Served,
  present: NodeCr | undefined,
): Promise<NodeCr> {
  const same = present !== undefined && diffMerge(present.spec.nodeMetadata ?? {}, identity.metadata) === undefined
  if (same && present.spec.nodeCap?.networkCardsCount !== undefined && present.metadata.finalizers?.includes(finalizer)) return present
  const type = await types.of(node, identity.metadata.instanceType)
  if (type === undefined) {
    throw new AppError(
      'unknown-instance-type',
      `node ${node.metadata.name}: the cloud does not know instance type ${identity.metadata.instanceType}`,
    )
  }
  const spec = { nodeMetadata: identity.metadata, nodeCap: capacityOf(type) }
  const { name } = node.metadata
  if (present === undefined) {
    const labels = { name, [eniModeLabel]: identity.eniMode === 'exclusive' ? 'eniOnly' : 'default' }
    const metadata = { name, labels, finalizers: [finalizer], ownerReferences: [ownerOf(node)] }
    return deps.kube.create(nodeCrs, { apiVersion: 'network.alibabacloud.com/v1beta1', kind: 'Node', metadata, spec })
  }
  const finalizers = [...new Set([...(present.metadata.finalizers ?? []), finalizer])]
  const body = { metadata: { resourceVersion: present.metadata.resourceVersion, finalizers }, spec }
  return deps.kube.patch(nodeCrs, name, { type: 'merge', body })
}

function ownerOf(node: Node): OwnerReference {
  return {
    apiVersion: 'v1',
    kind: 'Node',
    name: node.metadata.name,
    uid: node.metadata.uid ?? '',
    controller: true,
    blockOwnerDeletion: true,
  }
}

/** Tells the scheduler's extensions and people how many pods the node's ENIs can serve. */
export async function annotateCapacity(deps: ControllerDeps, node: Node, cr: NodeCr): Promise<void> {
  const wanted = String(maxAvailableIp(cr.spec, eniModeOf(cr)))
  if (cr.spec.eni === undefined || node.metadata.annotations?.[maxAvailableAnnotation] === wanted) return
  await deps.kube.patch(nodes, node.metadata.name, {
    type: 'merge',
    body: { metadata: { annotations: { [maxAvailableAnnotation]: wanted } } },
  })
}

/** Removes our finalizer; the API server then ends the object if its deletion was asked for, else we ask for it. */
export async function dropNodeCr(deps: ControllerDeps, record: NodeRecord, cr: NodeCr): Promise<void> {
  const finalizers = (cr.metadata.finalizers ?? []).filter(f => f !== finalizer)
  const body = { metadata: { resourceVersion: cr.metadata.resourceVersion, finalizers } }
  await deps.kube.patch(nodeCrs, cr.metadata.name, { type: 'merge', body })
  record.forget()
  await deps.kube.delete(nodeCrs, cr.metadata.name, undefined, cr.metadata.uid)
}
