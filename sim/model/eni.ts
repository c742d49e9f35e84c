// SPDX-License-Identifier: Apache-2.0
import { pickIpv4, pickIpv6, requireAddressQuota, type Wanted } from './addresses.ts'
import { enter, requireMove } from './eni-moves.ts'
import { fault } from './errors.ts'
import { macAddress, nextNumber, resourceId } from './identity.ts'
import type { Eni, Tags, VSwitch } from './rows.ts'
import type { State } from './state.ts'
import { requireTags } from './tags.ts'

export interface NewEni {
  readonly vSwitchId: string
  readonly type: 'Primary' | 'Secondary' | 'Trunk'
  readonly securityGroupIds: readonly string[]
  /** The primary address; the lowest free one when absent. */
  readonly primaryIp?: string
  /** Secondary IPv4 addresses. */
  readonly ipv4: Wanted
  readonly ipv6: Wanted
  readonly name: string
  readonly description: string
  readonly tags: Tags
  readonly sourceDestCheck: boolean
  readonly deleteOnRelease: boolean
  readonly trafficMode: 'Standard' | 'HighPerformance'
  readonly resourceGroupId: string
}

export function requireEni(state: State, id: string): Eni {
  const eni = state.get('eni', id)
  if (eni === undefined) throw fault('InvalidEniId.NotFound', `The specified EniId "${id}" is not found.`)
  return eni
}

export function requireVSwitch(state: State, id: string): VSwitch {
  const vSwitch = state.get('vSwitch', id)
  if (vSwitch === undefined) throw fault('InvalidVSwitchId.NotFound', `The specified VSwitchId "${id}" is not found.`)
  return vSwitch
}

/** CreateNetworkInterface: an ENI in state Creating, its addresses taken. */
export function createEni(state: State, wanted: NewEni): Eni {
  const vSwitch = requireVSwitch(state, wanted.vSwitchId)
  requireSecurityGroups(state, wanted.securityGroupIds, vSwitch.vpcId)
  requireTags(state, wanted.tags)
  requireAccountQuota(state, wanted.type)
  const ipv4 = chooseIpv4(state, vSwitch, wanted)
  const seq = nextNumber(state)
  const { primaryIp: _, ...rest } = wanted
  const bare: Eni = {
    ...rest,
    id: resourceId(state, 'eni', seq),
    seq,
    mac: macAddress(seq),
    status: 'Creating',
    due: 'never',
    vpcId: vSwitch.vpcId,
    zoneId: vSwitch.zoneId,
    ipv4,
    ipv6: isNone(wanted.ipv6) ? [] : pickIpv6(state, vSwitch, wanted.ipv6, 'Ipv6Address'),
    prefixes: [],
    createdAt: state.now,
  }
  // With no duration at all it is Available at once, as the reference describes the call.
  const eni = enter(bare, state.settings.timing.creating === 0 ? 'Available' : 'Creating', state.now, state.settings.timing)
  requireAddressQuota(state, eni, undefined)
  requireGroupCapacity(state, eni)
  state.put('eni', eni)
  return eni
}

/** DeleteNetworkInterface: only from Available (400 otherwise); the addresses stay taken until it is gone. */
export function deleteEni(state: State, id: string): void {
  const eni = requireEni(state, id)
  if (eni.type === 'Primary') throw fault('InvalidOperation.InvalidEniType', `ENI ${id} is the primary ENI of an instance.`)
  requireMove(eni, 'delete')
  state.put('eni', enter(eni, 'Deleting', state.now, state.settings.timing))
}

/** The primary address first. Addresses asked for by name are kept out of the automatic choice. */
function chooseIpv4(state: State, vSwitch: VSwitch, { primaryIp, ipv4 }: NewEni): string[] {
  const primary = primaryIp === undefined ? [] : [primaryIp]
  const named = 'count' in ipv4 ? primary : [...primary, ...ipv4.addresses]
  const fixed = pickIpv4(state, vSwitch, { addresses: named }, primaryIp === undefined ? 'PrivateIpAddress' : 'PrimaryIpAddress')
  const automatic = (primaryIp === undefined ? 1 : 0) + ('count' in ipv4 ? ipv4.count : 0)
  const chosen = pickIpv4(state, vSwitch, { count: automatic, except: fixed }, 'PrivateIpAddress')
  return primaryIp === undefined ? [...chosen, ...fixed] : [...fixed, ...chosen]
}

function isNone(wanted: Wanted): boolean {
  return 'count' in wanted ? wanted.count === 0 : wanted.addresses.length === 0
}

function requireSecurityGroups(state: State, ids: readonly string[], vpcId: string): void {
  for (const id of ids) {
    const group = state.get('securityGroup', id)
    if (group === undefined) throw fault('InvalidSecurityGroupId.NotFound', `The specified SecurityGroupId "${id}" is not found.`)
    if (group.vpcId !== vpcId)
      throw fault('InvalidOperation.VpcMismatch', `Security group ${id} is in VPC ${group.vpcId}, not in ${vpcId}.`)
  }
  const { securityGroupsPerEni } = state.settings.quota
  if (ids.length > securityGroupsPerEni)
    throw fault('SecurityGroupInstanceLimitExceed', `An ENI joins at most ${securityGroupsPerEni} security groups.`)
}

/** Every private IPv4 address counts against a group's capacity (security group quotas in the ECS limits). */
export function requireGroupCapacity(state: State, eni: Eni): void {
  for (const id of eni.securityGroupIds) {
    const capacity = state.get('securityGroup', id)?.capacity ?? 0
    const others = state.list('eni').filter(other => other.id !== eni.id && other.securityGroupIds.includes(id))
    const used = others.reduce((sum, other) => sum + other.ipv4.length, eni.ipv4.length)
    if (used > capacity)
      throw fault('SecurityGroupInstanceLimitExceed', `Security group ${id} holds at most ${capacity} private addresses.`)
  }
}

function requireAccountQuota(state: State, type: NewEni['type']): void {
  if (type === 'Primary') return
  const { enisPerAccount } = state.settings.quota
  const count = state.list('eni').filter(eni => eni.type !== 'Primary').length
  if (count >= enisPerAccount) throw fault('MaxEniCountExceeded', `The account may have ${enisPerAccount} ENIs in this region.`)
}
