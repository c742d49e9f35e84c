// SPDX-License-Identifier: Apache-2.0
import type { ChosenBy } from '#config/datapath-choice.ts'
import type { DatapathKind } from '#config/datapath-switch.ts'
import type { NodeDatapath, NodeServices } from '#datapath/port.ts'
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
  /** Services without kube-proxy; absent = it translates them. */
  readonly services?: NodeServices
  /** Entries of the table of flows, where it is made. */
  readonly flowEntries?: number
  readonly flowLimit?: number
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
    const { kind, by, why, off, hostStackCidrs, serviceCidrs, services, flowEntries, flowLimit, from } = JSON.parse(text ?? '') as Record<
      string,
      unknown
    >
    if (!isKind(kind)) return undefined
    if (by !== 'mode' && by !== 'switch' && by !== 'label' && by !== 'table' && by !== 'probe') return undefined
    const lists = { hostStackCidrs: cidrs(hostStackCidrs), serviceCidrs: cidrs(serviceCidrs) }
    const numbers = { ...(typeof flowEntries === 'number' && { flowEntries }), ...(typeof flowLimit === 'number' && { flowLimit }) }
    const more = { ...(isServices(services) && { services }), ...numbers }
    return { goal: { kind, by, why: String(why), off: off === true, ...lists, ...more }, ...(isKind(from) && { from }) }
  } catch {
    return undefined
  }
}

/** What the engine is told. A node that is switched off forwards as a regular one; where nothing of it is translated either, the engine is not told of that. */
export function nodeDatapathOf(goal: DatapathGoal, learn: boolean): NodeDatapath {
  const { kind, off, hostStackCidrs, serviceCidrs, services, flowEntries, flowLimit } = goal
  const numbers = { ...(flowEntries !== undefined && { flowEntries }), ...(flowLimit !== undefined && { flowLimit }) }
  const settings = { hostStackCidrs, serviceCidrs, learn, ...numbers }
  if (services !== undefined) return { kind: kind === 'v2' && !off ? 'v2' : 'services', ...settings, services }
  return kind === 'veth' ? { kind } : { kind, ...settings }
}

/** Whether programs have something to do. */
export function hasPrograms({ kind, services }: Pick<DatapathGoal, 'kind' | 'services'>): boolean {
  return kind === 'v2' || services !== undefined
}

function isServices(value: unknown): value is NodeServices {
  if (typeof value !== 'object' || value === null) return false
  const { natPortFirst, natPortLast } = value as Record<string, unknown>
  return typeof natPortFirst === 'number' && typeof natPortLast === 'number'
}

function isKind(value: unknown): value is DatapathKind {
  return value === 'v2' || value === 'veth'
}

function cidrs(value: unknown): readonly Cidr[] {
  if (!Array.isArray(value)) throw new TypeError('not a list')
  return value.map(item => parseCidr(String(item)))
}
