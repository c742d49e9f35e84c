// SPDX-License-Identifier: Apache-2.0

import type { Programs } from '#datapath/port.ts'
import type { ValueOf } from '#kernel/bpf/layout.ts'
import { maps } from '#kernel/bpf/maps.ts'
import { hostReason } from '#kernel/bpf/words.ts'
import type { KernelOp } from '#kernel/op.ts'
import type { NsState, RawEntry } from '#kernel/state.ts'
import { baseOf, type Cidr, contains, familyOfCidr, hostCidr, parseCidr, prefixLength } from '#net/cidr.ts'

/** Prefix to why it belongs to the host stack. */
export type HostSet = ReadonlyMap<Cidr, number>
const linkLocal = ['169.254.0.0/16', 'fe80::/10'].map(parseCidr)
const multicast = ['224.0.0.0/4', 'ff00::/8'].map(parseCidr)

/**
 * The destinations that belong to the host stack: what the configuration says, what is no destination beyond the link, and every address of the
 * node's own devices. An address of a Service that a proxy gave to a device of the node stays a Service's.
 */
export function wantedHostSet({ hostStackCidrs, serviceCidrs }: Pick<Programs, 'hostStackCidrs' | 'serviceCidrs'>, host: NsState): HostSet {
  const set = new Map<Cidr, number>()
  for (const cidr of serviceCidrs) set.set(cidr, hostReason.serviceCidr)
  for (const cidr of hostStackCidrs) set.set(cidr, hostReason.hostStackCidr)
  for (const cidr of linkLocal) set.set(cidr, hostReason.linkLocal)
  for (const cidr of multicast) set.set(cidr, hostReason.multicast)
  const known = [...serviceCidrs, ...linkLocal]
  for (const { address } of host.addrs) if (!known.some(cidr => contains(cidr, address))) set.set(hostCidr(address), hostReason.node)
  return set
}

/** The operations that turn the entries that are there into the wanted ones: new before old. */
export function hostSetOps(wanted: HostSet, there: readonly RawEntry[]): KernelOp[] {
  const present = new Map(there.map(({ key, value }) => [hex(key), hex(value)]))
  const entries = [...wanted].map(([cidr, why]) => [keyOf(cidr), maps.host_set.value.encode({ why }).toString('hex')] as const)
  const keys = new Set(entries.map(([key]) => key))
  return [
    ...entries.flatMap(([key, value]): KernelOp[] => {
      return present.get(key) === value ? [] : [{ op: 'map-put', ns: 'host', map: 'host_set', key, value }]
    }),
    ...[...present.keys()].flatMap((key): KernelOp[] => (keys.has(key) ? [] : [{ op: 'map-del', ns: 'host', map: 'host_set', key }])),
  ]
}

function keyOf(cidr: Cidr): string {
  const bits = prefixLength(cidr) + (familyOfCidr(cidr) === 4 ? 96 : 0)
  const key: ValueOf<typeof maps.host_set.key> = { prefixLength: bits, ip: baseOf(cidr) }
  return maps.host_set.key.encode(key).toString('hex')
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('hex')
}
