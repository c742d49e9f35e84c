// SPDX-License-Identifier: Apache-2.0
import { requireAddressQuota } from './addresses.ts'
import { requireEni } from './eni.ts'
import { enter, requireMove } from './eni-moves.ts'
import { fault } from './errors.ts'
import type { InstanceType } from './instance-types.ts'
import type { Attachment, Eni, Instance } from './rows.ts'
import type { State } from './state.ts'
import { limitsOf } from './types.ts'

export interface AttachRequest {
  readonly eniId: string
  readonly instanceId: string
  /** Makes the ENI a member of this trunk. */
  readonly trunkEniId?: string
  readonly networkCardIndex?: number
}

export function requireInstance(state: State, id: string): Instance {
  const instance = state.get('instance', id)
  if (instance === undefined) throw fault('InvalidEcsId.NotFound', `The specified EcsId "${id}" is not found.`)
  return instance
}

/** The ENIs that an instance holds, those on their way in or out included: they all count against its quota. */
export function enisOf(state: State, instanceId: string): Eni[] {
  return state.list('eni').filter(eni => eni.attachment?.instanceId === instanceId)
}

/** AttachNetworkInterface: asynchronous; the ENI is Attaching when this returns. */
export function attachEni(state: State, request: AttachRequest): void {
  const eni = requireEni(state, request.eniId)
  const instance = requireInstance(state, request.instanceId)
  const limits = limitsOf(state, instance)
  if (eni.type === 'Primary') throw fault('InvalidOperation.InvalidEniType', `ENI ${eni.id} is the primary ENI of an instance.`)
  requireMove(eni, 'attach')
  if (eni.vpcId !== instance.vpcId)
    throw fault('InvalidOperation.VpcMismatch', `ENI ${eni.id} and instance ${instance.id} are in different VPCs.`)
  if (eni.zoneId !== instance.zoneId)
    throw fault(
      'InvalidOperation.AvailabilityZoneMismatch',
      `ENI ${eni.id} is in ${eni.zoneId}, instance ${instance.id} in ${instance.zoneId}.`,
    )
  requireEniQuota(state, eni, instance, limits, request.trunkEniId)
  requireAddressQuota(state, eni, limits)
  requireCard(limits, request.networkCardIndex)
  const member = request.trunkEniId === undefined ? undefined : memberOf(state, eni, instance, request.trunkEniId)
  const attachment: Attachment = {
    instanceId: instance.id,
    ...member,
    ...(request.networkCardIndex !== undefined && { networkCardIndex: request.networkCardIndex }),
  }
  state.put(
    'eni',
    enter({ ...eni, attachment, type: member === undefined ? eni.type : 'Member' }, 'Attaching', state.now, state.settings.timing),
  )
}

/** DetachNetworkInterface: asynchronous; a member becomes an ordinary secondary ENI again when it is done. */
export function detachEni(state: State, request: AttachRequest): void {
  const eni = requireEni(state, request.eniId)
  requireInstance(state, request.instanceId)
  if (eni.type === 'Primary') throw fault('InvalidOperation.DetachPrimaryEniNotAllowed', `ENI ${eni.id} is a primary ENI.`)
  requireMove(eni, 'detach')
  if (eni.attachment?.instanceId !== request.instanceId)
    throw fault('InvalidOperation.InvalidEniState', `ENI ${eni.id} is not attached to instance ${request.instanceId}.`)
  if (enisOf(state, request.instanceId).some(other => other.attachment?.trunkEniId === eni.id))
    throw fault('InvalidOperation.InvalidEniState', `Trunk ENI ${eni.id} still carries members.`)
  state.put('eni', enter(eni, 'Detaching', state.now, state.settings.timing))
}

/** EniQuantity bounds ordinary ENIs with the primary and the trunk; EniTotalQuantity bounds them with the members. */
function requireEniQuota(state: State, eni: Eni, instance: Instance, limits: InstanceType, trunkEniId: string | undefined): void {
  const held = enisOf(state, instance.id)
  const ordinary = held.filter(other => other.type !== 'Member')
  const full = trunkEniId === undefined ? ordinary.length >= limits.eniQuantity : held.length >= limits.eniTotalQuantity
  if (full) throw fault('EniPerInstanceLimitExceeded', `Instance ${instance.id} (${limits.id}) can hold no more ENIs.`)
  if (eni.type !== 'Trunk') return
  if (!limits.eniTrunkSupported) throw fault('InvalidOperation.InvalidEniType', `Instance type ${limits.id} does not support trunk ENIs.`)
  if (held.some(other => other.type === 'Trunk'))
    throw fault('InvalidOperation.InvalidEniType', `Instance ${instance.id} has a trunk ENI already.`)
}

function memberOf(
  state: State,
  eni: Eni,
  instance: Instance,
  trunkEniId: string,
): { readonly trunkEniId: string; readonly deviceIndex: number } {
  const trunk = requireEni(state, trunkEniId)
  if (eni.type !== 'Secondary') throw fault('InvalidOperation.InvalidEniType', `ENI ${eni.id} is ${eni.type} and cannot be a member.`)
  if (trunk.type !== 'Trunk' || trunk.status !== 'InUse' || trunk.attachment?.instanceId !== instance.id)
    throw fault('InvalidOperation.InvalidEniState', `ENI ${trunkEniId} is no trunk in use on instance ${instance.id}.`)
  const used = new Set(enisOf(state, instance.id).map(other => other.attachment?.deviceIndex))
  let deviceIndex = 1
  while (used.has(deviceIndex)) deviceIndex++
  return { trunkEniId, deviceIndex }
}

function requireCard(limits: InstanceType, index: number | undefined): void {
  if (index === undefined || index < limits.networkCards) return
  throw fault('InvalidParameter', `Instance type ${limits.id} has no network card ${index}.`)
}
