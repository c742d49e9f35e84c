// SPDX-License-Identifier: Apache-2.0
import type { Programs } from '#datapath/port.ts'
import { mode } from '#kernel/bpf/words.ts'
import { forwards } from '#kernel/mode.ts'

/** Where no policy was written, the policy bit allows everything. */
const forwarding = mode.guard | mode.forward | mode.policy

/** What the mode of a node is to be: `serves` = its Services are translated, `learns` = what the host stack may be translating stays with it. */
export function wantedMode(kind: Programs['kind'], serves: boolean, learns: boolean): number {
  return (kind === 'v2' ? forwarding : 0) | (serves ? mode.service : 0) | (learns ? mode.learn : 0)
}

/**
 * What a repair makes of the mode that it sees. A node that somebody has switched off stays so, and its Services go on. `isWatched`: somebody looks at events;
 * the bit of one that was killed is taken away. While nothing is `wanted` yet, the rest stays as it is.
 */
export function repairedMode(wanted: number | undefined, seen: number, isWatched: boolean): number {
  const own = seen & ~mode.monitor
  const isOff = forwards(wanted) && (own & ~mode.service) === 0
  const right = wanted === undefined ? own : isOff ? wanted & mode.service : wanted
  return isWatched ? keptMonitor(right, seen) : right
}

/** Another mode, in which the programs tell those who look what they told before. One that does nothing tells nothing. */
export function keptMonitor(wanted: number, seen: number): number {
  return wanted === 0 ? 0 : wanted | (seen & mode.monitor)
}

/** What a node is told of its Services. */
interface ServiceFacts {
  readonly isWanted: boolean
  readonly mode: number
  readonly pods: number
  /** Whether every Service is in the maps. */
  readonly isSynced: boolean
}

/**
 * Whether a node translates Services now. It begins when every Service is in the maps, so that a pod never loses one that kube-proxy served, and at once
 * where no pod has any; what it does it goes on doing.
 */
export function servesNow({ isWanted, mode: seen, pods, isSynced }: ServiceFacts): boolean {
  return isWanted && ((seen & mode.service) !== 0 || pods === 0 || isSynced)
}
