// SPDX-License-Identifier: Apache-2.0

import { address, addressKey, endpointFlows, endpointKey } from '#kernel/bpf/structs.ts'
import type { KernelOp } from '#kernel/op.ts'
import type { RawEntry } from '#kernel/state.ts'
import type { Ip } from '#net/ip.ts'

/** What a walk through the tables is compared with. */
export interface Recount {
  /** Of `endpoint_flows`, before and after the walk, and of `addresses`. */
  readonly before: readonly RawEntry[]
  readonly after: readonly RawEntry[]
  readonly addresses: readonly RawEntry[]
  /** What the walk found, by address. */
  readonly live: ReadonlyMap<Ip, number>
}

/** Puts right how many flows each pod has: what timed out or was evicted is not one any more; what came and went during the walk counts as the programs say. */
export function recountOps({ before, after, addresses, live }: Recount): KernelOp[] {
  const found = new Map<number, number>()
  for (const { endpoint, ip } of decoded(addresses)) found.set(endpoint, (found.get(endpoint) ?? 0) + (live.get(ip) ?? 0))
  const earlier = new Map(before.map(e => [numberOf(e), endpointFlows.decode(e.value).live]))
  return after.flatMap((entry): KernelOp[] => {
    const [number, now] = [numberOf(entry), endpointFlows.decode(entry.value)]
    const at = { ns: 'host', map: 'endpoint_flows', key: hex(entry.key) } as const
    const counted = found.get(number)
    if (counted === undefined) return [{ op: 'map-del', ...at }]
    const right = Math.max(0, counted + ((now.live - (earlier.get(number) ?? 0)) | 0))
    return right === now.live ? [] : [{ op: 'map-put', ...at, value: hex(endpointFlows.encode({ ...now, live: right })) }]
  })
}

/** How many flows were refused to each pod, by address; those of none are left out. */
export function refusedBy({ after, addresses }: Pick<Recount, 'after' | 'addresses'>): ReadonlyMap<Ip, number> {
  const refused = new Map(after.map(e => [numberOf(e), Number(endpointFlows.decode(e.value).refused)]))
  return new Map(
    decoded(addresses)
      .map(({ ip, endpoint }) => [ip, refused.get(endpoint) ?? 0] as const)
      .filter(([, n]) => n > 0),
  )
}

function decoded(addresses: readonly RawEntry[]): { readonly endpoint: number; readonly ip: Ip }[] {
  return addresses.flatMap(({ key, value }) => {
    const { ip } = addressKey.decode(key)
    return ip === undefined ? [] : [{ ip, endpoint: address.decode(value).endpoint }]
  })
}

const numberOf = ({ key }: RawEntry) => endpointKey.decode(key).ifIndex
const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex')
