// SPDX-License-Identifier: Apache-2.0
import type { ChosenBy } from '#config/datapath-choice.ts'
import type { DatapathKind } from '#config/datapath-switch.ts'
import type { NodeDatapath } from '#datapath/port.ts'
import { type Cidr, parseCidr } from '#net/cidr.ts'

/** How a node is to forward, with everything that the engine needs for it. */
export interface DatapathGoal {
  readonly kind: DatapathKind
  readonly by: ChosenBy
  readonly why: string
  /** Whether a person has switched the programs off: of kind v2 then, and forwarding by the host stack. */
  readonly off: boolean
  readonly hostStackCidrs: readonly Cidr[]
  readonly serviceCidrs: readonly Cidr[]
}

/** What the file says of the last goal; a reboot takes it away. */
export interface Remembered {
  readonly goal: DatapathGoal
  /** While a switch to the goal is under way: the kind that the node had. */
  readonly from?: DatapathKind
}

export function formatRemembered({ goal, from }: Remembered): string {
  return `${JSON.stringify({ ...goal, from })}\n`
}

/** Undefined for a text that this release did not write. */
export function parseRemembered(text: string | undefined): Remembered | undefined {
  try {
    const { kind, by, why, off, hostStackCidrs, serviceCidrs, from } = JSON.parse(text ?? '') as Record<string, unknown>
    if (!isKind(kind)) return undefined
    if (by !== 'switch' && by !== 'label' && by !== 'table' && by !== 'probe') return undefined
    const lists = { hostStackCidrs: cidrs(hostStackCidrs), serviceCidrs: cidrs(serviceCidrs) }
    return { goal: { kind, by, why: String(why), off: off === true, ...lists }, ...(isKind(from) && { from }) }
  } catch {
    return undefined
  }
}

export function nodeDatapathOf({ kind, hostStackCidrs, serviceCidrs }: DatapathGoal, learn: boolean): NodeDatapath {
  return kind === 'veth' ? { kind } : { kind, hostStackCidrs, serviceCidrs, learn }
}

function isKind(value: unknown): value is DatapathKind {
  return value === 'v2' || value === 'veth'
}

function cidrs(value: unknown): readonly Cidr[] {
  if (!Array.isArray(value)) throw new TypeError('not a list')
  return value.map(item => parseCidr(String(item)))
}
