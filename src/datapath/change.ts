// SPDX-License-Identifier: Apache-2.0
import { isHostIfName } from '#datapath/host-if-name.ts'
import { eniIndexOf, fromPodPriority, hostOf, linkIp4, linkIp6, toPodPriority } from '#datapath/ours.ts'
import { mainTable } from '#kernel/op.ts'
import type { KernelEvent } from '#kernel/port.ts'

/**
 * Whether a change made by somebody else may concern us: our devices going away or down, any change of an ENI, an unknown
 * device coming (perhaps the ENI that is waited for), addresses, routes and rules of our kind. `enis` = numbers of known ENIs.
 */
export function concernsUs(event: KernelEvent, enis: ReadonlySet<number>): boolean {
  switch (event.kind) {
    case 'lost':
      return true
    case 'link':
      // A host end coming up is the kernel's echo of our own work.
      return isHostIfName(event.link.name) ? event.removed || !event.link.up : enis.has(event.link.index) || !event.removed
    case 'addr':
      return enis.has(event.addr.ifIndex) ? event.addr.scope === 'global' : event.addr.address === linkIp4 || event.addr.address === linkIp6
    case 'route': {
      const { table, dst } = event.route
      const eni = eniIndexOf(table)
      return table === mainTable ? hostOf(dst) !== undefined : eni !== undefined && enis.has(eni)
    }
    case 'rule':
      return event.rule.priority === toPodPriority || event.rule.priority === fromPodPriority
  }
}
