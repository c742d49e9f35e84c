// SPDX-License-Identifier: Apache-2.0
import type { VSwitch } from '#cloud/port.ts'

export type SelectionPolicy = 'ordered' | 'random' | 'most'

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
