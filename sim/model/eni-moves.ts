// SPDX-License-Identifier: Apache-2.0
import { fault } from './errors.ts'
import type { Eni, EniStatus } from './rows.ts'
import type { Timing } from './settings.ts'

export type Move = 'attach' | 'detach' | 'delete' | 'assign'

/**
 * The life of an ENI (figure in the reference of AttachNetworkInterface; Terway's constants):
 *
 *   Creating -> Available -attach-> Attaching -> InUse -detach-> Detaching -> Available -delete-> Deleting -> gone
 *
 * `ends` is where a transition ends by itself, after the duration named `takes`. An attachment that fails ends in Available.
 * Detaching and deleting may be asked for again while they last: that is how the reference says to get a stuck one going.
 */
export const moves: {
  readonly [S in EniStatus]: { readonly may: readonly Move[]; readonly ends?: EniStatus | 'gone'; readonly takes?: keyof Timing }
} = {
  Creating: { may: [], ends: 'Available', takes: 'creating' },
  Available: { may: ['attach', 'delete', 'assign'] },
  Attaching: { may: [], ends: 'InUse', takes: 'attaching' },
  InUse: { may: ['detach', 'assign'] },
  Detaching: { may: ['detach'], ends: 'Available', takes: 'detaching' },
  Deleting: { may: ['delete'], ends: 'gone', takes: 'deleting' },
}

/** Refuses a move that the present state does not allow, with the code that ECS lists for it (400). */
export function requireMove(eni: Eni, move: Move): void {
  if (moves[eni.status].may.includes(move)) return
  const expected = Object.entries(moves).flatMap(([status, { may }]) => (may.includes(move) ? [status] : []))
  throw fault('InvalidOperation.InvalidEniState', `ENI ${eni.id} is ${eni.status}; this operation expects ${expected.join(' or ')}.`)
}

/** The row that enters a state now. */
export function enter(eni: Eni, status: EniStatus, now: number, timing: Timing): Eni {
  if (eni.status === status && eni.due !== 'never') return eni
  const { due: _, failing: __, ...rest } = eni
  const takes = moves[status].takes
  return takes === undefined ? { ...rest, status } : { ...rest, status, due: now + timing[takes] }
}
