// SPDX-License-Identifier: Apache-2.0
import { control, direction, enforce, hostReason, mode, reservedIdentity, verdict } from '#kernel/bpf/words.ts'
import type { Ip } from '#net/ip.ts'
import type { KeyOf, RowValue } from '../world.ts'
import type { Draft } from './draft.ts'

export type FlowKey = KeyOf<'flows'>
export type Direction = 'in' | 'out'

export function modeOf(draft: Draft): number {
  return Number(draft.get('control', { index: 0 })?.value ?? 0n)
}

/** Only a node that forwards asks policy. */
export function asksPolicy(draft: Draft): boolean {
  const both = mode.forward | mode.policy
  return (modeOf(draft) & both) === both
}

/** The policy of an endpoint as the mode lets it count. */
export function policyOf(draft: Draft, ifIndex: number): Pick<RowValue<'endpoint_policies'>, 'policy' | 'revision' | 'enforce'> {
  const none = { policy: 0, revision: 0, enforce: 0 }
  return asksPolicy(draft) ? (draft.get('endpoint_policies', { ifIndex }) ?? none) : none
}

/** With which number of policies a flow is compared now. */
export function generationOf(draft: Draft): number {
  return asksPolicy(draft) ? Number(draft.get('control', { index: control.policies })?.value ?? 0n) : 0
}

export function enforces(draft: Draft, ifIndex: number, way: Direction): boolean {
  return (policyOf(draft, ifIndex).enforce & enforce[way]) !== 0
}

function identityOf(draft: Draft, ip: Ip): number {
  return draft.longest('identities', { ip })?.identity ?? reservedIdentity.world
}

/** As a flow has it: nobody looks for it where nothing is enforced. */
export function flowIdentityOf(draft: Draft, ifIndex: number, ip: Ip): number {
  return policyOf(draft, ifIndex).enforce === 0 ? 0 : identityOf(draft, ip)
}

/** Whether policy lets a flow of this endpoint begin: in = the remote begins. The port is that of the side that did not. */
export function allows(draft: Draft, ifIndex: number, way: Direction, key: FlowKey, remote: Ip): boolean {
  if (!enforces(draft, ifIndex, way)) return true
  const port = way === 'in' ? key.localPort : key.remotePort
  const search = { policy: policyOf(draft, ifIndex).policy, direction: direction[way], protocol: key.protocol, port }
  const found = [identityOf(draft, remote), reservedIdentity.everybody].map(
    identity => draft.longest('policies', { ...search, identity })?.verdict,
  )
  if (found.includes(verdict.deny)) return false
  return found.includes(verdict.allow)
}

/** What the host stack still has to translate, or what belongs to the node, is not asked for. */
export function isExempt(draft: Draft, way: Direction, remote: Ip): boolean {
  const why = draft.longest('host_set', { ip: remote })?.why
  if (way === 'in') return why === hostReason.node
  const translatesIt = why === hostReason.serviceCidr && (modeOf(draft) & mode.service) === 0
  return why === hostReason.node || why === hostReason.linkLocal || translatesIt
}
