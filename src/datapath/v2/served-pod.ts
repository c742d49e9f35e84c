// SPDX-License-Identifier: Apache-2.0
import type { Attachment, ExclusiveEniAttachment } from '#datapath/attachment.ts'
import { type Desired, type EntryWant, nothing } from '#datapath/desired.ts'
import { addressEntries, addressKeyOf } from '#datapath/mode/ebpf.ts'
import { addressesOf } from '#datapath/mode/veth-route.ts'
import { nodeFilters } from '#datapath/v2/node-side.ts'
import { ownAddresses } from '#datapath/v2/stale.ts'
import { maps, namespaceKeyOf } from '#kernel/bpf/maps.ts'
import { addressState, block, namespaceOf } from '#kernel/bpf/words.ts'
import type { NetnsPath } from '#kernel/names.ts'
import type { KernelOp } from '#kernel/op.ts'
import type { Kernel } from '#kernel/port.ts'
import type { EntryKey, NsQuery, NsState, RawEntry } from '#kernel/state.ts'

/** What is to be seen to judge the Services of a pod with an ENI for itself: of the host, beside its host end, and of the pod. */
export const servedHostQuery = { hooks: true, blocks: [block.nodeIn, block.nodeOut] } as const satisfies Partial<NsQuery>
export const servedPodQuery = { cookie: true } as const satisfies Partial<NsQuery>
export function servedEntries(a: ExclusiveEniAttachment): EntryKey[] {
  return addressesOf(a).map(ip => ({ map: 'addresses', key: addressKeyOf(ip) }))
}

/**
 * What a pod with an ENI for itself has on a node whose programs translate Services: its sockets are translated where it makes them, since what they send
 * meets no program; and where it has a host end, the programs of the node's own device are there too. By it clients of the node reach the pod, and the pod
 * reaches Services by what its sockets do not translate. `isMade`: the host end that is there is this pod's.
 */
export function planServed(a: ExclusiveEniAttachment, generation: string, isMade: boolean, { host, pod }: Seen): Desired {
  const hostEnd = isMade ? host.links.find(l => l.name === a.hostIfName) : undefined
  const isTaken = host.hooks.some(h => h.foreign && h.ifIndex === hostEnd?.index)
  const isJoined = a.hostPeer && !isTaken
  // One whose host end is taken says so: it cannot answer clients of the node.
  const addresses = addressEntries(a, hostEnd?.index, isTaken ? addressState.stack : addressState.exclusive)
  return {
    ...nothing,
    entries: [...(a.hostPeer ? addresses : []), ...namespaceIn(pod)],
    hooks: isJoined ? [{ ns: 'host', dev: a.hostIfName, ingress: block.nodeIn, egress: block.nodeOut }] : [],
    filters: isJoined ? nodeFilters(generation) : [],
  }
}

interface Seen {
  readonly host: NsState
  readonly pod: NsState
}

function namespaceIn({ cookie }: NsState): EntryWant[] {
  if (cookie === undefined) return []
  const value = maps.namespaces.value.encode({ translated: namespaceOf.pod })
  return [{ map: 'namespaces', key: namespaceKeyOf(cookie), value: value.toString('hex') }]
}

/** Of the pods among these that have an ENI for themselves: where sockets are that programs translate. */
export function namespacesWithEni(all: readonly Attachment[]): readonly NetnsPath[] {
  return all.flatMap(a => (a.kind === 'exclusive-eni' ? [a.netns] : []))
}

/** What a withdrawal takes from the maps: nobody is led to the pod any more, then its sockets are left alone. Without `pod` its namespace is gone. */
export function servedRemoval(a: ExclusiveEniAttachment, host: NsState, pod: NsState | undefined): KernelOp[] {
  const named = pod?.entries.filter(e => e.map === 'namespaces') ?? []
  return [...ownAddresses(a, host), ...named].map(({ map, key }): KernelOp => ({ op: 'map-del', ns: 'host', map, key }))
}

/**
 * Takes away the entries of pods' namespaces that are none of these: of a process that ended between two steps, or of a namespace whose file was gone
 * before its pod was withdrawn. Entries are read first: what is added meanwhile is somebody's. Throws KernelError.
 */
export async function namespaceSweep(kernel: Pick<Kernel, 'mapEntries' | 'observe'>, pods: readonly NetnsPath[]): Promise<KernelOp[]> {
  const entries = await kernel.mapEntries('namespaces')
  if (!entries.some(isPods)) return []
  const found = await kernel.observe(pods.map(ns => ({ ns, links: [], families: [], ...servedPodQuery })))
  return staleNamespaces(entries, new Set(found.flatMap(pod => pod?.cookie ?? [])))
}

export function staleNamespaces(entries: readonly RawEntry[], live: ReadonlySet<bigint>): KernelOp[] {
  return entries
    .filter(isPods)
    .map(({ key }) => maps.namespaces.key.decode(key).cookie)
    .filter(cookie => !live.has(cookie))
    .map((cookie): KernelOp => ({ op: 'map-del', ns: 'host', map: 'namespaces', key: namespaceKeyOf(cookie) }))
}

function isPods({ value }: RawEntry): boolean {
  return maps.namespaces.value.decode(value).translated === namespaceOf.pod
}
