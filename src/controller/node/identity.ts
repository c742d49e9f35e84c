// SPDX-License-Identifier: Apache-2.0
import { type EniMode, eniModeIn, type NodeSpec } from '#kube/crd/node.ts'
import { instanceIdOf, type Node } from '#kube/reflect/node.ts'

export type Metadata = NonNullable<NodeSpec['nodeMetadata']>

/** Whether the node is ours to serve, and as which instance; otherwise why not. */
export type Identity =
  | { readonly served: true; readonly metadata: Metadata; readonly eniMode: EniMode }
  | { readonly served: false; readonly reason: string }

/** Labels and providerID are set by ACK. */
export function identityOf(node: Node, whiteList: Readonly<Record<string, string>>): Identity {
  const labels = node.metadata.labels ?? {}
  const no = (reason: string): Identity => ({ served: false, reason })
  if (labels.type === 'virtual-kubelet') return no('it is a virtual node')
  if (labels['k8s.aliyun.com/ignore-by-terway'] === 'true') return no('its label k8s.aliyun.com/ignore-by-terway is true')
  if (labels['alibabacloud.com/lingjun-worker'] === 'true') return no('Lingjun nodes are not supported')
  const missing = Object.entries(whiteList).find(([key, value]) => labels[key] !== value)
  if (missing !== undefined) return no(`nodeLabelWhiteList asks for ${missing[0]}=${missing[1]}`)
  const regionID = labels['topology.kubernetes.io/region']
  const zoneID = labels['topology.kubernetes.io/zone']
  const instanceType = labels['node.kubernetes.io/instance-type']
  const instanceID = instanceIdOf(node)
  if (!regionID) return no('it has no label topology.kubernetes.io/region')
  if (!zoneID) return no('it has no label topology.kubernetes.io/zone')
  if (!instanceType) return no('it has no label node.kubernetes.io/instance-type')
  if (!instanceID) return no(`spec.providerID ${JSON.stringify(node.spec.providerID ?? '')} is not <region>.<instance id>`)
  return { served: true, metadata: { regionID, instanceType, instanceID, zoneID }, eniMode: eniModeIn(labels) }
}
