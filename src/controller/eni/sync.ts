// SPDX-License-Identifier: Apache-2.0

import type { Eni, VSwitch } from '#cloud/port.ts'
import type { Memory } from '#controller/eni/memory.ts'
import { addAddresses, dropNic, editAddresses, isBound, nicOf, nicsOf, putNic, withCondition, withStatus } from '#controller/eni/status.ts'
import { intentTag } from '#controller/tags.ts'
import type { Nic, NicIp, NodeSpec, NodeStatus } from '#kube/crd/node.ts'
import { tryParseIp } from '#net/ip.ts'

export interface Described {
  /** Every ENI of the instance, and of the record, that the cloud knows. */
  readonly enis: readonly Eni[]
  /** Monotonic milliseconds at which the first of the Describe calls began. */
  readonly begun: number
  readonly vSwitches: ReadonlyMap<string, VSwitch>
}

/**
 * Compares the record with the cloud. What the cloud has and the record lacks is taken in as Valid; an address that vanished
 * becomes Invalid (the daemon gives it to nobody any more, and it is asked back when its pod has gone); one that came back
 * becomes Valid again. An ENI that somebody has detached is attached again. A Describe may lag, so whatever was touched shortly before it began is left alone.
 */
export function mergeDescribed(status: NodeStatus, spec: NodeSpec, cloud: Described, memory: Memory, at: string): NodeStatus {
  const pending = new Set(Object.values(status.intents ?? {}).map(i => i.eniID))
  const found = new Map(cloud.enis.map(e => [e.id, e]))
  let next = status
  for (const nic of nicsOf(status)) {
    const eni = found.get(nic.id)
    if (eni === undefined || isElsewhere(eni, spec)) {
      if (memory.absenceProven(nic.id, cloud.begun)) next = lose(next, nic, eni, at)
      continue
    }
    const detached = nic.status === 'InUse' && eni.status !== 'InUse' && memory.detachmentProven(nic.id, cloud.begun)
    const merged = mergeOne(nic, eni, pending.has(nic.id), cloud, memory)
    if (!detached) next = putNic(next, withCondition(merged, 'OperationErr', undefined, at))
    else if (isUnused(nic)) next = dropNic(next, nic.id)
    else
      next = putNic(next, withCondition({ ...merged, status: 'Available' }, 'OperationErr', `ENI ${nic.id} was detached by somebody`, at))
  }
  for (const eni of cloud.enis) {
    if (status.networkInterfaces?.[eni.id] !== undefined || !adoptable(eni, status)) continue
    if (memory.presenceProven(eni.id, cloud.begun)) next = putNic(next, nicOf(eni, cloud.vSwitches.get(eni.vSwitchId), spec))
  }
  return next
}

/** Attached to an instance that is not the node's: as good as gone. */
export function isElsewhere(eni: Eni, spec: NodeSpec): boolean {
  const ours = spec.nodeMetadata?.instanceID
  return eni.instanceId !== undefined && ours !== undefined && eni.instanceId !== ours
}

/** An ENI on its way to being recorded by its intent is left to it. Primary ENIs, members and migrated Lingjun primaries are not ours. */
function adoptable(eni: Eni, status: NodeStatus): boolean {
  if (eni.instanceId === undefined || eni.status === 'Deleting' || eni.status === 'Detaching') return false
  if (eni.type !== 'Secondary' && eni.type !== 'Trunk') return false
  if (eni.tags.some(t => t.key === 'leni_primary' && t.value === 'true')) return false
  return !eni.tags.some(t => t.key === intentTag && status.intents?.[t.value] !== undefined)
}

function mergeOne(nic: Nic, eni: Eni, pending: boolean, cloud: Described, memory: Memory): Nic {
  const remote = new Set<string>([...eni.ipv4, ...eni.ipv6])
  const known = new Set([...Object.keys(nic.ipv4 ?? {}), ...Object.keys(nic.ipv6 ?? {})])
  const key = (ip: string) => `${nic.id}/${ip}`
  const isNew = (ip: string) => !known.has(ip) && !pending && memory.presenceProven(key(ip), cloud.begun)
  const checked = editAddresses(
    nic,
    a => a.status !== 'Deleting' || !isAddress(a),
    a => {
      if (!isAddress(a)) return undefined
      if (remote.has(a.ip)) return a.status === 'Invalid' && memory.presenceProven(key(a.ip), cloud.begun) ? withStatus(a, 'Valid') : a
      return a.status === 'Valid' && memory.absenceProven(key(a.ip), cloud.begun) ? withStatus(a, 'Invalid') : a
    },
  )
  const vSwitch = cloud.vSwitches.get(nic.vSwitchID ?? '')
  const merged = addAddresses(checked, eni.ipv4.filter(isNew), eni.ipv6.filter(isNew), eni.primaryIp)
  return {
    ...merged,
    macAddress: nic.macAddress ?? eni.mac,
    vSwitchID: nic.vSwitchID ?? eni.vSwitchId,
    primaryIPAddress: nic.primaryIPAddress ?? eni.primaryIp,
    ...(nic.ipv4CIDR === undefined && vSwitch !== undefined ? { ipv4CIDR: vSwitch.cidr4 } : {}),
    ...(nic.ipv6CIDR === undefined && vSwitch?.cidr6 !== undefined ? { ipv6CIDR: vSwitch.cidr6 } : {}),
  }
}

/** What is no address at all nobody can hold or give back: it only leaves the record. */
export function isAddress(a: NicIp): boolean {
  return tryParseIp(a.ip) !== undefined
}

/** No pod was ever put on it, so nobody has to be asked. */
function isUnused(nic: Nic): boolean {
  return nic.unschedulable === true && !isBound(nic)
}

/** A primary address that was given back for a removal that did not happen is missing; that it is Invalid says that the ENI is lost. */
function withPrimary(nic: Nic): Nic {
  const { primaryIPAddress: ip = '' } = nic
  return ip === '' || nic.ipv4?.[ip] !== undefined ? nic : addAddresses(nic, [ip], [], ip)
}

/** The cloud has it no more, or elsewhere: its addresses can serve nobody. The ENI leaves the record when they are given back. */
export function lose(s: NodeStatus, nic: Nic, eni: Eni | undefined, at: string): NodeStatus {
  if (isUnused(nic)) return dropNic(s, nic.id)
  if (nic.status === 'Deleting') return s
  const invalid = editAddresses(
    withPrimary(nic),
    a => a.status === 'Valid',
    a => withStatus(a, 'Invalid'),
  )
  const where = eni?.instanceId === undefined ? 'does not exist in the cloud any more' : `is attached to instance ${eni.instanceId}`
  return putNic(s, withCondition(invalid, 'OperationErr', `ENI ${nic.id} ${where}`, at))
}
