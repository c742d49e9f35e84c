// SPDX-License-Identifier: Apache-2.0
import type { SharedEniAttachment } from '#datapath/attachment.ts'
import type { Desired } from '#datapath/desired.ts'
import type { EniFacts } from '#datapath/eni.ts'
import { entryQuery } from '#datapath/mode/ebpf.ts'
import { addressesOf } from '#datapath/mode/veth-route.ts'
import { fromPodPriority, tableOf, toPodPriority } from '#datapath/ours.ts'
import { block } from '#kernel/bpf/words.ts'
import { mainTable } from '#kernel/op.ts'
import type { NsQuery } from '#kernel/state.ts'
import { hostCidr } from '#net/cidr.ts'
import type { Family } from '#net/ip.ts'

/** One pod that is to be judged: what it shall be, on which device, and a draft of the whole wanted state. */
export interface Target {
  readonly a: SharedEniAttachment
  readonly eni: EniFacts
  readonly desired: Desired
  /** On a node with programs: their generation, whether they translate Services, and the number that the host end had when it was seen last. */
  readonly programs?: { readonly generation: string; readonly services: boolean; readonly hostIndex: number | undefined }
}

/**
 * What `diff` must see to judge these pods: one look at the host for all of them, then one inside each, in their order. Read
 * per object, not per table, wherever the kernel can answer so: an ADD on a full node costs little more than on an empty one.
 */
export function queriesFor(targets: readonly Target[]): readonly NsQuery[] {
  return [hostQuery(targets), ...targets.map(podQuery)]
}

function hostQuery(targets: readonly Target[]): NsQuery {
  const each = <T>(of: (t: Target) => readonly T[]): T[] => [...new Set(targets.flatMap(of))]
  return {
    ns: 'host',
    // The uplink for its settings, which its description tells.
    links: each(({ a, eni }) => [a.hostIfName, eni.dev, ...(eni.uplink === undefined ? [] : [eni.uplink])]),
    addrs: true,
    tbfs: true,
    routes: {
      tables: each(({ eni }) => [mainTable, tableOf(eni.index)]),
      dst: each(({ desired }) => desired.routes.filter(r => r.ns === 'host').map(r => r.dst)),
    },
    rules: { priorities: [toPodPriority, fromPodPriority], prefixes: each(({ a }) => addressesOf(a).map(hostCidr)) },
    sysctls: each(({ desired }) => desired.sysctls.filter(s => s.ns === 'host').map(s => s.key)),
    families: each(({ a }) => familiesOf(a)),
    nsids: each(({ a }) => [a.netns]),
    ...(targets.some(t => t.programs !== undefined) ? hookQuery : {}),
    entries: each(({ a, programs }) => (programs === undefined ? [] : entryQuery(a, programs.hostIndex))),
  }
}

/** What the devices join, and what runs there. The blocks of the node's own device are no pod's. */
const hookQuery = { hooks: true, blocks: [block.podIn, block.podOut, block.eniIn] } as const

function podQuery({ a, desired }: Target): NsQuery {
  return {
    ns: a.netns,
    links: [a.ifName],
    addrs: true,
    neighs: desired.neighs.map(n => n.ip),
    tbfs: true,
    routes: { tables: [mainTable], dst: desired.routes.filter(r => r.ns !== 'host').map(r => r.dst) },
    sysctls: desired.sysctls.filter(s => s.ns !== 'host').map(s => s.key),
    families: familiesOf(a),
  }
}

function familiesOf(a: SharedEniAttachment): Family[] {
  return [...(a.v4 === undefined ? [] : [4 as const]), ...(a.v6 === undefined ? [] : [6 as const])]
}

/** What `withdrawal` and `endpointRemoval` must see. */
export function queryForWithdrawal(a: SharedEniAttachment): NsQuery {
  const ours = addressesOf(a).map(hostCidr)
  return {
    ns: 'host',
    links: [a.hostIfName],
    routes: { tables: [mainTable], dst: ours },
    rules: { priorities: [toPodPriority, fromPodPriority], prefixes: ours },
    families: [4, 6],
    entries: entryQuery(a, undefined),
  }
}
