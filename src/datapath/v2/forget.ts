// SPDX-License-Identifier: Apache-2.0

import { maps } from '#kernel/bpf/maps.ts'
import { flowFlag, flowWay } from '#kernel/bpf/words.ts'
import type { KernelOp } from '#kernel/op.ts'
import type { RawEntry } from '#kernel/state.ts'

/** Tables that have flows of pods. */
export const flowTables = ['flows', 'new_flows'] as const
const udp = 17

/**
 * Takes away what was decided for good, and is wrong since somebody else translates Services: `serves` = the programs do. A client that never pauses, from a port
 * that it never changes, would be left to who translates no more. What the host stack carries and somebody answers may be kube-proxy's, and goes on there; TCP that
 * nobody answers ends by itself.
 */
export function forgottenFlows(map: (typeof flowTables)[number], entries: readonly RawEntry[], serves: boolean): KernelOp[] {
  return entries.flatMap(({ key, value }): KernelOp[] => {
    const { way, flags, frontend } = maps.flows.value.decode(value)
    const isTranslated = way === flowWay.service || frontend !== 0
    const isUnanswered = way === flowWay.host && (flags & flowFlag.answered) === 0 && maps.flows.key.decode(key).protocol === udp
    return (serves ? isUnanswered : isTranslated) ? [{ op: 'map-del', ns: 'host', map, key: Buffer.from(key).toString('hex') }] : []
  })
}
