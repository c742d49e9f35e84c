// SPDX-License-Identifier: Apache-2.0
import type { SharedEniAttachment } from '#datapath/attachment.ts'
import type { Desired } from '#datapath/desired.ts'
import type { EniFacts } from '#datapath/eni.ts'
import { addressesOf } from '#datapath/mode/veth-route.ts'
import { fromPodPriority, tableOf, toPodPriority } from '#datapath/ours.ts'
import { mainTable } from '#kernel/op.ts'
import type { NsQuery } from '#kernel/state.ts'
import { hostCidr } from '#net/cidr.ts'
import type { Family } from '#net/ip.ts'

/**
 * What `diff` must see of the host and of the pod to judge a wanted state. Read per object, not per table, wherever the
 * kernel can answer so: an ADD on a full node costs little more than on an empty one.
 */
export function queriesFor(a: SharedEniAttachment, eni: EniFacts, desired: Desired): readonly [NsQuery, NsQuery] {
  const families: Family[] = [...(a.v4 === undefined ? [] : [4 as const]), ...(a.v6 === undefined ? [] : [6 as const])]
  const ours = addressesOf(a).map(hostCidr)
  const wanted = (inHost: boolean) => desired.routes.filter(r => (r.ns === 'host') === inHost).map(r => r.dst)
  return [
    {
      ns: 'host',
      links: [a.hostIfName, eni.dev],
      addrs: true,
      tbfs: true,
      routes: { tables: [mainTable, tableOf(eni.index)], dst: wanted(true) },
      rules: { priorities: [toPodPriority, fromPodPriority], prefixes: ours },
      sysctls: desired.sysctls.filter(s => s.ns === 'host').map(s => s.key),
      families,
      nsids: [a.netns],
    },
    {
      ns: a.netns,
      links: [a.ifName],
      addrs: true,
      neighs: true,
      tbfs: true,
      routes: { tables: [mainTable], dst: wanted(false) },
      sysctls: desired.sysctls.filter(s => s.ns !== 'host').map(s => s.key),
      families,
    },
  ]
}

/** What `diff` must see to judge an ENI's wanted state alone. */
export function queryForEni(eni: EniFacts, desired: Desired): NsQuery {
  return {
    ns: 'host',
    links: [eni.dev],
    addrs: true,
    routes: { tables: [mainTable, tableOf(eni.index)], dst: desired.routes.map(r => r.dst) },
    sysctls: desired.sysctls.map(s => s.key),
    families: [4, 6],
  }
}

/** What `withdrawal` must see. */
export function queryForWithdrawal(a: SharedEniAttachment): NsQuery {
  const ours = addressesOf(a).map(hostCidr)
  return {
    ns: 'host',
    links: [a.hostIfName],
    routes: { tables: [mainTable], dst: ours },
    rules: { priorities: [toPodPriority, fromPodPriority], prefixes: ours },
    families: [4, 6],
  }
}
