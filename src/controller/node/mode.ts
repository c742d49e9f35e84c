// SPDX-License-Identifier: Apache-2.0
import { type EniMode, eniModeIn, eniModeLabel, eniModeOf, type NodeCr } from '#kube/crd/node.ts'
import type { Node } from '#kube/reflect/node.ts'

/** Why the label of the Kubernetes node has no effect, and the way out; undefined when it says what is done. */
export function modeNotice(node: Node | undefined, cr: NodeCr): string | undefined {
  if (node === undefined) return undefined
  const [asked, done] = [eniModeIn(node.metadata.labels), eniModeOf(cr)]
  if (asked === done) return undefined
  const { name } = node.metadata
  const change = asked === 'exclusive' ? `got the label ${eniModeLabel}=eniOnly` : `lost the label ${eniModeLabel}`
  return `node ${name} ${change} after it had joined, which changes nothing: ${fates[done]}, and a terwayd that starts serves none of them; take it back, or drain the node, delete the Kubernetes node, wait until its Node CR is gone, and let it join again ${asked === 'exclusive' ? 'with' : 'without'} the label`
}

const fates: Readonly<Record<EniMode, string>> = {
  shared: 'its pods go on sharing its ENIs',
  exclusive: 'its pods go on having an ENI each',
}

/** Terway's own daemon waits for a PodENI there, and this controller makes none. */
export function unboundNotice(node: string): string {
  return `the terwayd of node ${node} leaves it to the controller which pod gets which address, and where pods have an ENI each nobody does that: run the terwayd of this release there`
}
