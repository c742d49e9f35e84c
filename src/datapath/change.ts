// SPDX-License-Identifier: Apache-2.0
import type { Attachment } from '#datapath/attachment.ts'
import { isHostIfName } from '#datapath/host-if-name.ts'
import { addressesOf } from '#datapath/mode/veth-route.ts'
import { eniIndexOf, fromPodPriority, hostOf, linkIp4, linkIp6, toPodPriority } from '#datapath/ours.ts'
import type { IfName } from '#kernel/names.ts'
import { mainTable } from '#kernel/op.ts'
import type { KernelEvent } from '#kernel/port.ts'
import type { Cidr } from '#net/cidr.ts'
import type { Mac } from '#net/mac.ts'

/** What this process knows of its own objects. */
export interface Known {
  /** By number of their devices. */
  readonly enis: ReadonlyMap<number, Mac>
  /** By host end: the pods that were set up and not withdrawn since. */
  readonly live: ReadonlyMap<IfName, Attachment>
  /** Whether programs, or pods beside their ENI, must know the node's own addresses. */
  readonly hostSet: boolean
}

/**
 * Whether a change made by somebody else may concern us: a live pod's host end going away or down, any change of an ENI,
 * an unknown device coming (perhaps the ENI that is waited for), addresses, routes and rules of our kind, and any address of
 * the node that the host set names.
 */
export function concernsUs(event: KernelEvent, known: Known): boolean {
  switch (event.kind) {
    case 'lost':
      return true
    case 'link': {
      const { name, index, up, alias } = event.link
      // A device that is down and has no alias yet is one that we are just making.
      if (isHostIfName(name)) return known.live.has(name) && (event.removed || (!up && alias !== undefined))
      return known.enis.has(index) || !event.removed
    }
    case 'addr':
      return known.hostSet || known.enis.has(event.addr.ifIndex)
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

/** The host ends of the pods to which a change that concerns us happened; of an ENI, one of its pods: its repair is the ENI's. */
export function namedBy(event: KernelEvent, known: Known): readonly IfName[] {
  switch (event.kind) {
    case 'lost':
      return []
    case 'link':
      return known.live.has(event.link.name) ? [event.link.name] : podOnEni(event.link.index, known)
    case 'addr':
      return podOnEni(event.addr.ifIndex, known)
    case 'route': {
      const { table, dst } = event.route
      return table === mainTable ? podWith(dst, known) : podOnEni(eniIndexOf(table), known)
    }
    case 'rule':
      return podWith(event.rule.to ?? event.rule.from, known)
  }
}

function podOnEni(index: number | undefined, { enis, live }: Known): readonly IfName[] {
  const mac = index === undefined ? undefined : enis.get(index)
  const pod = mac === undefined ? undefined : [...live.values()].find(a => a.eni.mac === mac)
  return pod === undefined ? [] : [pod.hostIfName]
}

function podWith(prefix: Cidr | undefined, { live }: Known): readonly IfName[] {
  const ip = prefix === undefined ? undefined : hostOf(prefix)
  const pod = ip === undefined ? undefined : [...live.values()].find(a => addressesOf(a).includes(ip))
  return pod === undefined ? [] : [pod.hostIfName]
}
