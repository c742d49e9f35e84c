// SPDX-License-Identifier: Apache-2.0

import type { Attachment, SharedEniAttachment } from '#datapath/attachment.ts'
import { addressKeyOf, endpointKeyOf, incarnationOf } from '#datapath/mode/ebpf.ts'
import { addressesOf } from '#datapath/mode/veth-route.ts'
import { maps } from '#kernel/bpf/maps.ts'
import type { KernelOp } from '#kernel/op.ts'
import type { NsState, RawEntry } from '#kernel/state.ts'

/** Takes a pod's addresses away, then its endpoint: nothing leads to what is gone. The counters go with it. */
function removal(addressKeys: readonly string[], endpoints: Iterable<number>): KernelOp[] {
  const del = (map: 'addresses' | 'endpoints' | 'endpoint_counters', key: string): KernelOp => ({ op: 'map-del', ns: 'host', map, key })
  return [
    ...addressKeys.map(key => del('addresses', key)),
    ...[...new Set(endpoints)].map(endpointKeyOf).flatMap(key => [del('endpoints', key), del('endpoint_counters', key)]),
  ]
}

/**
 * What a withdrawal takes from the maps: the entries of its addresses, unless another sandbox has them by now, and the endpoint that they lead to
 * or that its device is, which may be gone already.
 */
export function endpointRemoval(a: SharedEniAttachment, host: NsState): KernelOp[] {
  const own = ownAddresses(a, host)
  const device = host.links.find(l => l.name === a.hostIfName && l.alias === a.containerId)
  const numbers = [...own.map(o => o.endpoint), ...(device === undefined ? [] : [device.index])]
  return removal(
    own.map(o => o.key),
    numbers,
  )
}

/** The entries of a pod's addresses that are this sandbox's, and the number that each leads to. */
export function ownAddresses(
  a: Attachment,
  host: NsState,
): { readonly map: 'addresses'; readonly key: string; readonly endpoint: number }[] {
  const keys = new Set(addressesOf(a).map(addressKeyOf))
  return host.entries.flatMap(({ map, key, value }) => {
    if (map !== 'addresses' || !keys.has(key)) return []
    const { endpoint, incarnation } = maps.addresses.value.decode(Buffer.from(value, 'hex'))
    return incarnation === incarnationOf(a) ? [{ map, key, endpoint }] : []
  })
}

/**
 * The entries of endpoints whose device is none of `devices`, which must have been looked at after the entries: a process that ended between two
 * steps, or a pod whose namespace took its device along.
 */
export function staleEntries(endpoints: readonly RawEntry[], addresses: readonly RawEntry[], devices: ReadonlySet<number>): KernelOp[] {
  const gone = endpoints.map(({ key }) => maps.endpoints.key.decode(key).ifIndex).filter(n => !devices.has(n))
  const keys = addresses.filter(({ value }) => !devices.has(maps.addresses.value.decode(value).endpoint)).map(({ key }) => key)
  return removal(
    keys.map(key => Buffer.from(key).toString('hex')),
    gone,
  )
}
