// SPDX-License-Identifier: Apache-2.0
import type { Node } from '#kube/reflect/node.ts'
import { type Ip, tryParseIp } from '#net/ip.ts'

/** What Services depend on of the node they are compiled for. */
export interface NodeFacts {
  readonly name: string
  /** '' = in no zone. */
  readonly zone: string
  /** Where it serves NodePorts. */
  readonly addresses: readonly Ip[]
}

/** External addresses are not among them: the cloud translates them, and packets arrive at an internal one. */
export function nodeFacts(node: Node): NodeFacts {
  const internal = (node.status?.addresses ?? []).filter(a => a.type === 'InternalIP')
  return {
    name: node.metadata.name,
    zone: node.metadata.labels?.['topology.kubernetes.io/zone'] ?? '',
    addresses: internal.flatMap(a => tryParseIp(a.address) ?? []),
  }
}
