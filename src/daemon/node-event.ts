// SPDX-License-Identifier: Apache-2.0
import type { Context } from '#daemon/context.ts'

/** An Event about the node itself. */
export interface NodeEvent {
  readonly type: 'Normal' | 'Warning'
  readonly reason: string
  readonly message: string
  readonly action: string
}

export function tellNode({ kube, cluster, options }: Pick<Context, 'kube' | 'cluster' | 'options'>, event: NodeEvent): void {
  const uid = cluster.k8sNode?.metadata.uid
  kube.event({ about: { apiVersion: 'v1', kind: 'Node', name: options.nodeName, ...(uid === undefined ? {} : { uid }) }, ...event })
}
