// SPDX-License-Identifier: Apache-2.0
import { isHostIfName } from '#datapath/host-if-name.ts'
import { eniIndexOf, fromPodPriority, hostOf, linkIp4, linkIp6, toPodPriority } from '#datapath/ours.ts'
import type { IfName } from '#kernel/names.ts'
import { mainTable } from '#kernel/op.ts'
import type { KernelEvent } from '#kernel/port.ts'

/** What this process knows of its own objects. */
export interface Known {
  /** Numbers of the ENIs' devices. */
  readonly enis: ReadonlySet<number>
  /** Whether a host end belongs to a pod that was set up and not withdrawn since. */
  isLive(name: IfName): boolean
}

/**
 * Whether a change made by somebody else may concern us: a live pod's host end going away or down, any change of an ENI,
 * an unknown device coming (perhaps the ENI that is waited for), addresses, routes and rules of our kind.
 */
export function concernsUs(event: KernelEvent, known: Known): boolean {
  switch (event.kind) {
    case 'lost':
      return true
    case 'link': {
      const { name, index, up, alias } = event.link
      // A device that is down and has no alias yet is one that we are just making.
      if (isHostIfName(name)) return known.isLive(name) && (event.removed || (!up && alias !== undefined))
      return known.enis.has(index) || !event.removed
    }
    case 'addr':
      return known.enis.has(event.addr.ifIndex)
        ? event.addr.scope === 'global'
        : event.addr.address === linkIp4 || event.addr.address === linkIp6
    case 'route': {
      const { table, dst } = event.route
      const eni = eniIndexOf(table)
      return table === mainTable ? hostOf(dst) !== undefined : eni !== undefined && known.enis.has(eni)
    }
    case 'rule':
      return event.rule.priority === toPodPriority || event.rule.priority === fromPodPriority
  }
}
