// SPDX-License-Identifier: Apache-2.0
import type { VSwitch } from '#cloud/port.ts'
import type { Stack } from '#net/stack.ts'

export type SelectionPolicy = 'ordered' | 'random' | 'most'

/** Why listed vSwitches cannot serve the node, each with the way out. */
export function vSwitchFaults(
  node: string,
  listed: readonly string[],
  known: readonly VSwitch[],
  zoneId: string,
  stack: Stack,
): readonly string[] {
  if (listed.length === 0)
    return [`spec.eni.vSwitchOptions of Node CR ${node} is empty: list vSwitches of zone ${zoneId} under vswitches in eni_conf`]
  return listed.flatMap(id => {
    const found = known.find(v => v.id === id)
    if (found === undefined) return [`vSwitch ${id} does not exist: correct vswitches in eni_conf`]
    if (found.zoneId !== zoneId) return [`vSwitch ${id} is in zone ${found.zoneId}, the node in ${zoneId}: correct vswitches in eni_conf`]
    if (stack === 'ipv4' || found.cidr6 !== undefined) return []
    return [`vSwitch ${id} has no IPv6 CIDR block, which ip_stack ${stack} needs: turn IPv6 on for it, or list another one in eni_conf`]
  })
}

/**
 * The vSwitches of the node's zone in the order in which they are to be used: `ordered` = as listed in the Node CR (the daemon
 * has already translated eni_conf's `ordered` to `most`), `most` = most free addresses first, `random` = shuffled.
 */
export function selectVSwitches(
  listed: readonly string[],
  known: readonly VSwitch[],
  zoneId: string,
  policy: SelectionPolicy,
  random: () => number,
): readonly VSwitch[] {
  const inZone = listed.flatMap(id => known.find(v => v.id === id && v.zoneId === zoneId) ?? [])
  if (policy === 'ordered') return inZone
  if (policy === 'most') return [...inZone].sort((a, b) => b.availableIpCount - a.availableIpCount || (a.id < b.id ? -1 : 1))
  const keyed = inZone.map(v => ({ v, key: random() }))
  return keyed.sort((a, b) => a.key - b.key).map(k => k.v)
}
