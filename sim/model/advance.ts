// SPDX-License-Identifier: Apache-2.0
import { enter, moves } from './eni-moves.ts'
import type { Eni } from './rows.ts'
import type { Change, State } from './state.ts'

/** Client tokens are remembered for this long (ECS: how to ensure idempotence). */
export const tokenLifeMs = 24 * 3600 * 1000

/**
 * Lets virtual time pass until `now`: every transition that ends by then ends at its own time, in order. Returns the
 * changes of each, for the journal.
 */
export function advance(state: State, now: number): { readonly at: number; readonly changes: readonly Change[] }[] {
  const done: { at: number; changes: readonly Change[] }[] = []
  for (let next = state.nextDue(); next !== undefined && next.at <= now; next = state.nextDue()) {
    const { at, eniId } = next
    done.push({ at, changes: state.run(at, () => finish(state, eniId)).changes })
  }
  const { changes } = state.run(now, () => forgetTokens(state))
  if (changes.length > 0) done.push({ at: now, changes })
  return done
}

function finish(state: State, eniId: string): void {
  const eni = state.get('eni', eniId)
  if (eni === undefined) return
  const ends = moves[eni.status].ends
  if (ends === 'gone') {
    state.drop('eni', eniId)
    return
  }
  if (ends === undefined) throw new Error(`ENI ${eniId} is ${eni.status}, which is no transition, and yet is due`)
  const failed = eni.failing === true && eni.status === 'Attaching'
  const rested = enter(eni, failed ? 'Available' : ends, state.now, state.settings.timing)
  state.put('eni', failed || eni.status === 'Detaching' ? released(rested) : rested)
}

/** An ENI that belongs to no instance: a member is an ordinary secondary ENI again. */
export function released(eni: Eni): Eni {
  const { attachment: _, ...free } = eni
  return { ...free, type: eni.type === 'Member' ? 'Secondary' : eni.type }
}

function forgetTokens(state: State): void {
  for (let token = state.oldest('token'); token !== undefined && token.at + tokenLifeMs <= state.now; token = state.oldest('token'))
    state.drop('token', token.id)
}
