// SPDX-License-Identifier: Apache-2.0
import { type DatapathGoal, nodeDatapathOf } from '#daemon/datapath-memory.ts'
import type { NodeDatapath } from '#datapath/port.ts'
import { mode as modeBit } from '#kernel/bpf/words.ts'
import { forwards } from '#kernel/mode.ts'

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
 * What brings a node from what it is found to be to its goal. Off is the mode and nothing else: a device that leaves its blocks, or joins them while it
 * is up, loses packets. The engine alone does not know: somebody may have switched off, and a switch that failed or was killed leaves a mode of 0, or pins.
 * Services begin when they are in the maps, for which the engine waits.
 */
export function nextStep(goal: DatapathGoal, { told, mode, pods }: Found): Step {
  if (goal.off && goal.services === undefined) return (mode ?? 0) === 0 ? { do: 'nothing' } : { do: 'turn-off' }
  const { kind } = nodeDatapathOf(goal, false)
  if (isThere(kind, mode) && told !== undefined && isSameNode(told, goal)) return { do: 'nothing' }
  const begins = (kind === 'v2' && !forwards(mode)) || (goal.services !== undefined && ((mode ?? 0) & modeBit.service) === 0)
  // What pods began by the host stack, perhaps by way of a Service, goes on there.
  return { do: 'set', node: nodeDatapathOf(goal, pods > 0 && begins) }
}

function isThere(kind: NodeDatapath['kind'], mode: number | undefined): boolean {
  if (kind === 'veth') return mode === undefined
  return mode !== undefined && forwards(mode) === (kind === 'v2')
}

/** The engine would be told the same. */
function isSameNode(a: DatapathGoal, b: DatapathGoal): boolean {
  const told = (goal: DatapathGoal) => JSON.stringify(nodeDatapathOf(goal, false))
  return told(a) === told(b)
}
