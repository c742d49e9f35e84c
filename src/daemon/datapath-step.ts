// SPDX-License-Identifier: Apache-2.0
import { type DatapathGoal, nodeDatapathOf } from '#daemon/datapath-memory.ts'
import type { NodeDatapath } from '#datapath/port.ts'

/** What a node is found to be. */
export interface Found {
  /** What the engine was told; undefined before the first time in this process. */
  readonly told: DatapathGoal | undefined
  /** The word that every program reads first; undefined while none is loaded. */
  readonly mode: number | undefined
  /** Pods that have their network. */
  readonly pods: number
}

export type Step = { readonly do: 'nothing' } | { readonly do: 'turn-off' } | { readonly do: 'set'; readonly node: NodeDatapath }

/**
 * What brings a node from what it is found to be to its goal. Off is a mode of 0 and nothing else: a device that leaves its blocks, or joins them while it
 * is up, loses packets. The engine alone does not know: somebody may have switched off, and a switch that failed or was killed leaves a mode of 0, or pins.
 */
export function nextStep(goal: DatapathGoal, { told, mode, pods }: Found): Step {
  const forwards = (mode ?? 0) !== 0
  if (goal.off) return forwards ? { do: 'turn-off' } : { do: 'nothing' }
  const isThere = goal.kind === 'v2' ? forwards : mode === undefined
  if (isThere && told !== undefined && isSameNode(told, goal)) return { do: 'nothing' }
  // What pods began by the host stack, perhaps by way of a Service, goes on there.
  return { do: 'set', node: nodeDatapathOf(goal, pods > 0 && !forwards) }
}

/** The engine would be told the same. */
function isSameNode(a: DatapathGoal, b: DatapathGoal): boolean {
  const told = (goal: DatapathGoal) => JSON.stringify(nodeDatapathOf(goal, false))
  return told(a) === told(b)
}
