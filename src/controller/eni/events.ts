// SPDX-License-Identifier: Apache-2.0
import type { Arrival } from '#controller/eni/moves.ts'
import type { Outcome } from '#controller/eni/record.ts'
import { nicsOf, putNic, withCondition } from '#controller/eni/status.ts'
import type { Plan } from '#ipam/action.ts'
import type { Nic, NodeStatus } from '#kube/crd/node.ts'
import type { EventInput } from '#kube/port.ts'
import type { Node } from '#kube/reflect/node.ts'
import { messageOf } from '#lib/errors.ts'

/** What keeps addresses from coming; undefined when nothing does. */
export function shortageOf(plan: Plan): string | undefined {
  return plan.unmet > 0 ? `${plan.unmet} more addresses are needed: ${plan.reasons.join('; ')}` : undefined
}

/** Why pods wait, on every ENI that could have served them: the daemon shows it in the error of their ADD. */
export function explain(status: NodeStatus, plan: Plan, at: string): NodeStatus {
  const message = shortageOf(plan)
  return nicsOf(status).reduce((s, nic) => {
    const next = nic.status === 'InUse' && nic.unschedulable !== true ? withCondition(nic, 'InsufficientIP', message, at) : nic
    return next === nic ? s : putNic(s, next)
  }, status)
}

/** Failed calls about an ENI, on that ENI, until one about it succeeds. */
export function noteErrors(status: NodeStatus, outcomes: readonly Outcome[], at: string): NodeStatus {
  return outcomes.reduce((s, o) => {
    const eniId = 'eniId' in o ? o.eniId : 'intent' in o ? o.intent.eniID : undefined
    const nic = eniId === undefined ? undefined : s.networkInterfaces?.[eniId]
    if (nic === undefined) return s
    return putNic(s, withCondition(nic, 'OperationErr', 'error' in o && o.error !== undefined ? messageOf(o.error) : undefined, at))
  }, status)
}

type EventText = Pick<EventInput, 'type' | 'reason' | 'message' | 'action'>

/** Terway's events: reasons CreateENISucceed, CreateENIFailed, … with the ENI, or the error of the cloud. */
export function eventOf(o: Outcome): EventText | undefined {
  const failed = (action: string, error: unknown): EventText => ({
    type: 'Warning',
    reason: `${action}Failed`,
    action,
    message: messageOf(error),
  })
  switch (o.was) {
    case 'created':
      return {
        type: 'Normal',
        reason: 'CreateENISucceed',
        action: 'CreateENI',
        message: `ENI ${o.eni.id} with ${o.eni.ipv4.length} ${o.eni.ipv6.length === 0 ? '' : `IPv4 and ${o.eni.ipv6.length} IPv6 `}addresses`,
      }
    case 'refused':
    case 'pending':
      return failed(o.intent.kind === 'create-eni' ? 'CreateENI' : 'AllocIP', o.error)
    case 'assigned':
      return o.error === undefined ? undefined : failed('AllocIP', o.error)
    case 'unattachable':
      return failed('AttachENI', o.error)
    case 'failed':
      return failed(o.action, o.error)
    case 'unassigned':
    case 'moving':
      return undefined
  }
}

/** An entry of the record that is no address was left out. */
export function nonsenseEvent(node: string, nic: Nic, ip: string): EventText {
  return {
    type: 'Warning',
    reason: 'ResourceInvalid',
    action: 'SyncOpenAPI',
    message: `Node CR ${node}: status.networkInterfaces.${nic.id} had ${JSON.stringify(ip)}, which is no IP address; the entry is removed`,
  }
}

/** What the cloud shows to be done. */
export function arrivalEvent({ eniId, action }: Arrival): EventText {
  const done = { AttachENI: 'attached', DetachENI: 'detached', DeleteENI: 'deleted' }[action]
  return { type: 'Normal', reason: `${action}Succeed`, action, message: `ENI ${eniId} is ${done}` }
}

export function lostEvent(nic: Nic): EventText {
  return trouble(nic, 'have lost their network: delete them, and their owners replace them')
}

export function detachedEvent(nic: Nic): EventText {
  return trouble(nic, 'have no network until it is attached again')
}

/** What has happened to the ENI stands in its condition. */
function trouble(nic: Nic, fate: string): EventText {
  const pods = Object.values({ ...nic.ipv4, ...nic.ipv6 }).flatMap(a => (a.podID === undefined || a.podID === '' ? [] : [a.podID]))
  const users = pods.length === 0 ? '' : `; pods ${[...new Set(pods)].join(', ')} ${fate}`
  return {
    type: 'Warning',
    reason: 'ResourceInvalid',
    action: 'SyncOpenAPI',
    message: `${nic.conditions?.OperationErr?.message}${users}`,
  }
}

/** `limit` in milliseconds. */
export function stuckEvent(eniId: string, limit: number): EventText {
  return {
    type: 'Warning',
    reason: 'AttachENIFailed',
    action: 'AttachENI',
    message: `ENI ${eniId} is Attaching since more than ${limit / 1000} s: another one takes its place, and it is given back when it comes`,
  }
}

export function aboutNode(node: Node | undefined, name: string): EventInput['about'] {
  const uid = node?.metadata.uid
  return { apiVersion: 'v1', kind: 'Node', name, ...(uid === undefined ? {} : { uid }) }
}
