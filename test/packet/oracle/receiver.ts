// SPDX-License-Identifier: Apache-2.0
import { flowKeyOf, type Side } from './flow.ts'
import { isExempt } from './policy.ts'
import type { Read } from './read.ts'
import type { Endpoint, Step } from './step.ts'

/** The side of a pod that a packet arrives at. A new flow from the node is asked about as any other; one that is asked about again is not refused. */
export function receiverOf({ draft }: Step, packet: Read, ifIndex: number, endpoint: Endpoint): Side {
  const remote = packet.source
  return {
    ifIndex,
    endpoint,
    key: flowKeyOf(packet, 'remote'),
    remote,
    sends: 'remote',
    exempt: (way, when) => when === 'again' && isExempt(draft, way, remote),
  }
}
