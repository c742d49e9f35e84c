// SPDX-License-Identifier: Apache-2.0
import type { EniMode } from '#kube/crd/node.ts'
import { eniLimits, ownNetwork, type Pod, wholeEni } from '#kube/reflect/pod.ts'

/** What the daemon needs to know of a pod, and whether it may have an address of the node's ENIs. */
export interface PodInfo {
  /** namespace/name */
  readonly id: string
  readonly namespace: string
  readonly name: string
  readonly uid: string
  /** Bytes per second, from Terway's own annotations; the runtime's configuration overrides them. */
  readonly ingressBytesPerSecond?: number
  readonly egressBytesPerSecond?: number
  readonly networkPriority?: string
}

export type PodVerdict =
  | { readonly kind: 'serve'; readonly pod: PodInfo }
  /** `forNow`: a newer view of the pod may say otherwise. */
  | { readonly kind: 'refuse'; readonly reason: string; readonly forNow: boolean }

const prefix = 'k8s.aliyun.com/'

/** Whether this API object is the pod of a sandbox with that UID. A static pod's sandbox carries the hash of its manifest, its mirror in the API another UID. */
export function isPodOf(pod: Pod, uid: string | undefined): boolean {
  return uid === undefined || pod.metadata.uid === uid || pod.metadata.annotations?.['kubernetes.io/config.hash'] === uid
}

/** Finished, or being forgotten: such a pod needs no address any more. */
export function isTerminal(pod: Pod): boolean {
  return pod.status?.phase === 'Succeeded' || pod.status?.phase === 'Failed'
}

/** Whether pods share the node's ENIs or have one each; `unknown` until the node's record has been seen and agreed with. */
export type KnownMode = EniMode | 'unknown'

/** Terway's rules of which pods it serves. A pod that asks for an ENI of its own never gets a shared address instead; where each pod has one, asking changes nothing. */
export function judgePod(pod: Pod, nodeName: string, mode: KnownMode): PodVerdict {
  const { namespace = '', name, uid = '', annotations = {}, labels = {} } = pod.metadata
  const id = `${namespace}/${name}`
  const refuse = (reason: string, forNow = false): PodVerdict => ({ kind: 'refuse', reason: `pod ${id} ${reason}`, forNow })
  if (pod.spec.nodeName === undefined || pod.spec.nodeName === '') return refuse('is not scheduled yet', true)
  if (pod.spec.nodeName !== nodeName) return refuse(`is on node ${pod.spec.nodeName}, not on ${nodeName}`)
  if (pod.spec.hostNetwork === true) return refuse("uses the host's network")
  if (labels[`${prefix}ignore-by-terway`] === 'true') return refuse(`has the label ${prefix}ignore-by-terway=true`)
  if (truthy(annotations[`${prefix}pod-eni`])) return refuse(`wants an ENI of its own (${prefix}pod-eni), which this node does not support`)
  const network = mode === 'exclusive' ? ownNetwork(pod) : undefined
  if (network !== undefined) return refuse(`wants a network of its own (${network}), which this node does not support`)
  const limit = eniLimits(pod).find(name => name !== wholeEni || mode !== 'exclusive')
  if (limit === wholeEni && mode === 'unknown') return refuse(`has a limit on ${limit}, and the node's mode is not known yet`, true)
  if (limit !== undefined) return refuse(`has a limit on ${limit}, which this node does not support`)
  const ingress = bandwidth(annotations[`${prefix}ingress-bandwidth`])
  const egress = bandwidth(annotations[`${prefix}egress-bandwidth`])
  const priority = annotations[`${prefix}network-priority`]
  return {
    kind: 'serve',
    pod: {
      id,
      namespace,
      name,
      uid,
      ...(ingress === undefined ? {} : { ingressBytesPerSecond: ingress }),
      ...(egress === undefined ? {} : { egressBytesPerSecond: egress }),
      ...(priority === undefined ? {} : { networkPriority: priority }),
    },
  }
}

/** `10M`, `1.5GiB`: bytes per second, powers of 1024; the letter is mandatory. Undefined when absent or not understood, as with Terway. */
export function bandwidth(text: string | undefined): number | undefined {
  const match = /^\s*(\d+(?:\.\d+)?)\s*(?:([TGMK])(?:i?B)?|B)\s*$/i.exec(text ?? '')
  if (match === null) return undefined
  const power = match[2] === undefined ? 0 : 'KMGT'.indexOf(match[2].toUpperCase()) + 1
  const bytes = Math.floor(Number(match[1]) * 1024 ** power)
  return bytes > 0 ? bytes : undefined
}

/** Go's strconv.ParseBool, the true half. */
function truthy(text: string | undefined): boolean {
  return ['1', 't', 'T', 'TRUE', 'true', 'True'].includes(text ?? '')
}
