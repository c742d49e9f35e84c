// SPDX-License-Identifier: Apache-2.0
import { AppError } from '#lib/errors.ts'
import type { BackendCalls } from '#rpc/grpc/definition.ts'
import { EventTarget, EventType, InfoError, IPType, type PodRef } from '#rpc/grpc/messages.ts'
import { families, toNetConfs } from '#rpc/grpc/netconf.ts'
import type { LeaseErrorCode, LeaseResult, LeaseService, SandboxNetwork, SandboxRef } from '#rpc/grpc/port.ts'

/** A refusal on its way to the client; the server renders it as `code: X, msg: Y`. */
export class LeaseRefused extends AppError<LeaseErrorCode> {}

export type Handlers<Calls> = {
  readonly [K in keyof Calls]: Calls[K] extends (r: infer Q) => infer R ? (r: Q) => Promise<R> : never
}

/** TerwayBackend over the daemon. One call at a time per pod; a second one meanwhile is refused with PodIsProcessing, as in Terway. */
export function backendHandlers(leases: LeaseService): Handlers<BackendCalls> {
  const busy = new Set<string>()
  const alone = async <T>(r: SandboxRef, fn: () => Promise<T>): Promise<T> => {
    const pod = `${r.namespace}/${r.name}`
    if (busy.has(pod)) throw new LeaseRefused('PodIsProcessing', `Pod ${pod} request is processing`)
    busy.add(pod)
    try {
      return await fn()
    } finally {
      busy.delete(pod)
    }
  }
  return {
    AllocIP: async r => {
      const pod = { ...sandboxOf(r), netns: required(r.Netns, 'Netns'), ifName: r.IfName === '' ? 'eth0' : r.IfName }
      const network = await alone(pod, async () => granted(await leases.alloc(pod)))
      return { Success: true, IPType: typeOf(network), ...families(network), NetConfs: toNetConfs(network) }
    },
    ReleaseIP: async r => {
      const pod = sandboxOf(r)
      await alone(pod, async () => granted(await leases.release(pod)))
      return { Success: true }
    },
    GetIPInfo: async r => {
      const found = await leases.info(sandboxOf(r))
      const answer = { IPType: IPType.TypeENIMultiIP, Success: true, Error: InfoError.NoErr }
      if (found === undefined) return { ...answer, IPv4: false, IPv6: false, NetConfs: [] }
      const network = granted(found)
      return { ...answer, IPType: typeOf(network), ...families(network), NetConfs: toNetConfs(network) }
    },
    RecordEvent: async r => {
      await leases.recordEvent({
        target: r.EventTarget === EventTarget.Node ? 'node' : 'pod',
        namespace: r.K8sPodNamespace,
        name: r.K8sPodName,
        type: r.EventType === EventType.Warning ? 'Warning' : 'Normal',
        reason: required(r.Reason, 'Reason'),
        message: r.Message,
      })
      return { Succeed: true, Error: '' }
    },
  }
}

/** By which a plugin chooses what it makes: it moves the ENI's device into the pod, or makes a pair and rules. */
function typeOf({ exclusive }: SandboxNetwork): number {
  return exclusive ? IPType.TypeVPCENI : IPType.TypeENIMultiIP
}

function sandboxOf(r: PodRef): SandboxRef {
  return {
    namespace: required(r.K8sPodNamespace, 'K8sPodNamespace'),
    name: required(r.K8sPodName, 'K8sPodName'),
    containerId: required(r.K8sPodInfraContainerId, 'K8sPodInfraContainerId'),
  }
}

function required(value: string, field: string): string {
  if (value === '') throw new LeaseRefused('InvalidArgs', `${field} is empty`)
  return value
}

function granted<T extends object>(result: LeaseResult<T>): T {
  if ('refused' in result) throw new LeaseRefused(result.refused, result.message)
  return result
}
