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

/** What a repair makes of the mode that it sees. A node that somebody has switched off stays so, and its Services go on. */
export function repairedMode(wanted: number, seen: number): number {
  const isOff = forwards(wanted) && (seen & ~mode.service) === 0
  return isOff ? wanted & mode.service : wanted
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
