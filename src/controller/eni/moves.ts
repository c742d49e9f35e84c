// SPDX-License-Identifier: Apache-2.0
import type { EniStatus } from '#cloud/port.ts'
import type { Nic } from '#kube/crd/node.ts'

/** A move of an ENI that the cloud shows to be over. */
export interface Arrival {
  readonly eniId: string
  readonly action: 'AttachENI' | 'DetachENI' | 'DeleteENI'
}

interface Move {
  readonly status: string
  readonly since: number
  /** What the cloud said last. */
  readonly seen: EniStatus | 'absent' | undefined
  /** When that was. */
  readonly at: number
}

/** After this time in Attaching, as in Terway, an ENI is not counted on any more. */
export const attachLimit = 120_000
/** Between two looks at ENIs that are being attached, or removed. */
const attachPoll = 1_000
const removePoll = 3_000
/** What takes long is looked at less and less often: no sooner than after a tenth of the time that it had taken at the last look, but at least every half minute. */
const share = 0.1
const slowest = 30_000

/** Since when each ENI of a node has been on its way, as far as this process has seen. Milliseconds. */
export class Moves {
  readonly #moves = new Map<string, Move>()

  /** Once a round, with what the cloud said in it: answers what has arrived. */
  follow(nics: readonly Nic[], seen: ReadonlyMap<string, EniStatus | 'absent'>, now: number): readonly Arrival[] {
    const moving = nics.filter(isMoving)
    const ids = new Set(moving.map(n => n.id))
    for (const id of this.#moves.keys()) if (!ids.has(id)) this.#moves.delete(id)
    return moving.flatMap(nic => {
      const old = this.#moves.get(nic.id)
      const present = seen.get(nic.id)
      const since = old?.status === nic.status ? old.since : now
      const at = present === undefined ? (old?.at ?? Number.NEGATIVE_INFINITY) : now
      this.#moves.set(nic.id, { status: nic.status, since, seen: present ?? old?.seen, at })
      const action = arrived(nic, old?.seen, present)
      return action === undefined ? [] : [{ eniId: nic.id, action }]
    })
  }

  /** What is gone stays gone between two looks. */
  withAbsent(seen: ReadonlyMap<string, EniStatus | 'absent'>): ReadonlyMap<string, EniStatus | 'absent'> {
    const absent = [...this.#moves].flatMap(([id, m]): readonly [string, 'absent'][] => (m.seen === 'absent' ? [[id, 'absent']] : []))
    return new Map([...absent, ...seen])
  }

  /** The cloud has taken the call: the time that it waited for its budget does not count. */
  attaching(id: string, now: number): void {
    const old = this.#moves.get(id)
    if (old?.status !== 'Attaching') this.#moves.set(id, { status: 'Attaching', since: now, seen: old?.seen, at: now })
  }

  since(id: string): number | undefined {
    return this.#moves.get(id)?.since
  }

  late(now: number): ReadonlySet<string> {
    return new Set([...this.#moves].flatMap(([id, m]) => (m.status === 'Attaching' && now - m.since >= attachLimit ? [id] : [])))
  }

  get attachments(): number {
    return [...this.#moves.values()].filter(m => m.status === 'Attaching').length
  }

  /** Whether the ENI is worth another look now, when a round is made for other reasons. */
  isDue(nic: Nic, now: number): boolean {
    const move = this.#moves.get(nic.id)
    return move === undefined || move.status !== nic.status || now >= dueAt(move)
  }

  /** Milliseconds until it is worth a round of its own. */
  pollIn(nic: Nic, now: number): number {
    const move = this.#moves.get(nic.id)
    return Math.max(isRemoved(nic) ? removePoll : attachPoll, move === undefined ? 0 : dueAt(move) - now)
  }
}

function dueAt({ at, since }: Move): number {
  return at + Math.min(slowest, Math.max(0, at - since) * share)
}

export function isMoving(nic: Nic): boolean {
  return nic.status === 'Available' || nic.status === 'Attaching' || isRemoved(nic)
}

export function isRemoved(nic: Nic): boolean {
  return nic.status === 'Deleting' || nic.status === 'Detaching'
}

function arrived(nic: Nic, before: Move['seen'], now: Move['seen']): Arrival['action'] | undefined {
  if (!isRemoved(nic)) return now === 'InUse' && nic.unschedulable !== true ? 'AttachENI' : undefined
  if (now === 'Available') return before === 'InUse' || before === 'Detaching' ? 'DetachENI' : undefined
  return now === 'absent' && (before === 'Available' || before === 'Deleting') ? 'DeleteENI' : undefined
}
