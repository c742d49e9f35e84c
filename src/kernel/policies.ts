// SPDX-License-Identifier: Apache-2.0
import { maps } from '#kernel/bpf/maps.ts'
import { control } from '#kernel/bpf/words.ts'
import type { KernelOp } from '#kernel/op.ts'
import type { NsState } from '#kernel/state.ts'

/** Where the number is by which the programs learn that the policy of some endpoint has changed. */
export const policyEntry = { map: 'control', key: maps.control.key.encode({ index: control.policies }).toString('hex') } as const

/**
 * The last operation of each change of `endpoint_policies`, after a look at `policyEntry`: each flow is compared with its endpoint's policy by the next packet,
 * and not again until the next change.
 */
export function policiesChangedOp(host: Pick<NsState, 'entries'>): KernelOp {
  const entry = host.entries.find(e => e.map === policyEntry.map && e.key === policyEntry.key)
  const seen = entry === undefined ? 0n : maps.control.value.decode(Buffer.from(entry.value, 'hex')).value
  return { op: 'map-put', ns: 'host', ...policyEntry, value: maps.control.value.encode({ value: nextPolicies(seen) }).toString('hex') }
}

/** Never 0, which says that there was no policy yet. Programs read 32 bits of it. */
export function nextPolicies(seen: bigint): bigint {
  return (seen % (2n ** 32n - 1n)) + 1n
}
