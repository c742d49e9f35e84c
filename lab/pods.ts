// SPDX-License-Identifier: Apache-2.0
import { familyOf } from '../sim/fabric/address.ts'
import { get } from './get.ts'
import type { Lab } from './lab.ts'

/** What the lab reads of a pod. */
export interface Pod {
  readonly metadata: { readonly name: string; readonly namespace: string; readonly uid: string; readonly deletionTimestamp?: string }
  readonly spec: { readonly nodeName?: string; readonly hostNetwork?: boolean; readonly containers: readonly { readonly image: string }[] }
  readonly status: {
    readonly phase: string
    /** One of each family of the cluster, in the kubelet's order. */
    readonly podIPs?: readonly { readonly ip: string }[]
    readonly conditions?: readonly { readonly type: string; readonly status: string }[]
    readonly containerStatuses?: readonly { readonly name: string; readonly restartCount: number; readonly imageID: string }[]
  }
}

/** Pods of all namespaces with these labels. */
export async function podsOf(lab: Lab, selector: string): Promise<readonly Pod[]> {
  return get<Pod[]>(lab, 'pods', '--all-namespaces', '-l', selector)
}

export function ipsOf(pod: Pod): readonly string[] {
  return (pod.status.podIPs ?? []).map(p => p.ip)
}

/** The pod's address of a family; throws when it has none. */
export function ipOf(pod: Pod, family: 4 | 6): string {
  const ip = ipsOf(pod).find(ip => familyOf(ip) === family)
  if (ip === undefined) throw new Error(`pod ${pod.metadata.name} has no IPv${family} address`)
  return ip
}

export function isReady(pod: Pod): boolean {
  return pod.metadata.deletionTimestamp === undefined && (pod.status.conditions ?? []).some(c => c.type === 'Ready' && c.status === 'True')
}
