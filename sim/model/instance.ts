// SPDX-License-Identifier: Apache-2.0
import { released } from './advance.ts'
import { enisOf, requireInstance } from './attach.ts'
import { createEni, requireVSwitch } from './eni.ts'
import { enter } from './eni-moves.ts'
import { invalid } from './errors.ts'
import { nextNumber, resourceId } from './identity.ts'
import type { Eni, Instance, InstanceStatus, Tags } from './rows.ts'
import type { State } from './state.ts'
import { findType } from './types.ts'

export interface NewInstance {
  readonly name: string
  readonly type: string
  readonly vSwitchId: string
  readonly securityGroupIds: readonly string[]
  readonly hostName?: string
  readonly role?: string
  readonly primaryIp?: string
  /** IPv6 addresses of the primary ENI; 0 when absent. */
  readonly ipv6Count?: number
  readonly tags?: Tags
}

/** RunInstances in effect: a running instance whose primary ENI is in use at once. */
export function createInstance(state: State, wanted: NewInstance): { readonly instance: Instance; readonly eni: Eni } {
  if (findType(state, wanted.type) === undefined) throw invalid('InstanceType', `${wanted.type} is unknown`)
  if (wanted.role !== undefined && state.get('role', wanted.role) === undefined) throw invalid('RamRoleName', `${wanted.role} is unknown`)
  const vSwitch = requireVSwitch(state, wanted.vSwitchId)
  const seq = nextNumber(state)
  const id = resourceId(state, 'i', seq)
  const created = createEni(state, {
    vSwitchId: vSwitch.id,
    type: 'Primary',
    securityGroupIds: wanted.securityGroupIds,
    ...(wanted.primaryIp !== undefined && { primaryIp: wanted.primaryIp }),
    ipv4: { count: 0 },
    ipv6: { count: wanted.ipv6Count ?? 0 },
    name: '',
    description: '',
    tags: {},
    sourceDestCheck: false,
    deleteOnRelease: true,
    trafficMode: 'Standard',
    resourceGroupId: '',
  })
  const eni = enter({ ...created, attachment: { instanceId: id } }, 'InUse', state.now, state.settings.timing)
  state.put('eni', eni)
  const { primaryIp: _, ipv6Count: __, ...rest } = wanted
  const instance: Instance = {
    ...rest,
    id,
    seq,
    hostName: wanted.hostName ?? wanted.name,
    vpcId: vSwitch.vpcId,
    zoneId: vSwitch.zoneId,
    status: 'Running',
    primaryEniId: eni.id,
    createdAt: state.now,
    tags: wanted.tags ?? {},
  }
  state.put('instance', instance)
  return { instance, eni }
}

/** Stopping and starting keep every ENI attached. */
export function setInstanceStatus(state: State, id: string, status: InstanceStatus): void {
  state.put('instance', { ...requireInstance(state, id), status })
}

/** DeleteInstance with Force: ENIs with DeleteOnRelease go with it, the others become Available. */
export function deleteInstance(state: State, id: string): void {
  requireInstance(state, id)
  for (const eni of enisOf(state, id)) {
    if (eni.deleteOnRelease) state.drop('eni', eni.id)
    else state.put('eni', released(enter(eni, 'Available', state.now, state.settings.timing)))
  }
  state.drop('instance', id)
}
