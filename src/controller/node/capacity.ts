// SPDX-License-Identifier: Apache-2.0
import type { ControllerDeps } from '#controller/deps.ts'
import { maxAvailableIp } from '#controller/node/limits.ts'
import { eniModeOf, type NodeCr } from '#kube/crd/node.ts'
import { type Node, nodes } from '#kube/reflect/node.ts'

/** What containers name in their limits on a node whose pods have an ENI each. */
const eniResource = 'aliyun/eni'

/**
 * Has the scheduler count the ENIs of a node whose pods have one each. There is no device plugin, so a kubelet that starts anew finds
 * nothing that would offer them and sets the capacity to zero: it is put back when the watch shows that.
 */
export async function offerEnis(deps: Pick<ControllerDeps, 'kube'>, node: Node, cr: NodeCr): Promise<void> {
  if (eniModeOf(cr) === 'shared' || cr.spec.eni === undefined) return
  const wanted = String(maxAvailableIp(cr.spec, 'exclusive'))
  if (offeredEnis(node).every(n => n === wanted)) return
  const offer = { [eniResource]: wanted }
  await deps.kube.patch(nodes, node.metadata.name, {
    type: 'merge',
    subresource: 'status',
    body: { status: { capacity: offer, allocatable: offer } },
  })
}

/** What the node says to have, and to have for pods. */
export function offeredEnis({ status }: Node): readonly (string | undefined)[] {
  return [status?.capacity?.[eniResource], status?.allocatable?.[eniResource]]
}
