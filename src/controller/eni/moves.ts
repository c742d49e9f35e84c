// SPDX-License-Identifier: Apache-2.0
import type { EniStatus } from '#cloud/port.ts'
import type { Looked } from '#controller/eni/observe.ts'
import type { Usual, UsualTimes } from '#controller/eni/usual.ts'
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
  /** When it was asked, or tried, last; when it began, until then. */
  readonly at: number
  /** How long it usually takes, when this process saw it begin. */
  readonly usual?: Usual
  /** How long it had taken at the last look, or try, that was too early. */
  readonly early?: number
  /** It was created by this process and not attached yet, in so many tries. */
  readonly tries?: number
}

/** After this time in Attaching, as in Terway, an ENI is not counted on any more. */
export const attachLimit = 120_000
/** Between two looks at ENIs that are being attached, or removed. */
const attachPoll = 50
const removePoll = 3_000
/** Between looks at what is being attached while the budget for looks is short. */
const scarcePoll = 1_000
/** What takes long is looked at less and less often: after a share of the time that it has taken, or taken longer than usual, but at least every half minute. */
const share = 0.1
const shareOver = 0.2
const slowest = 30_000
/** A Describe lags: what was created is attached when it should be there, without one. After so many tries it is looked at first. */
const blindTries = 6

/** Since when each ENI of a node has been on its way, as far as this process has seen. Milliseconds. */
export class Moves {
  readonly #moves = new Map<string, Move>()
  readonly #usual: UsualTimes

  constructor(usual: UsualTimes) {
    this.#usual = usual
  }

  /** Once a round, with what the cloud was asked about and said in it: answers what has arrived. */
  follow(nics: readonly Nic[], { asked, seen }: Pick<Looked, 'asked' | 'seen'>, now: number): readonly Arrival[] {
    const moving = nics.filter(isMoving)
    const ids = new Set(moving.map(n => n.id))
    for (const id of this.#moves.keys()) if (!ids.has(id)) this.#moves.delete(id)
    return moving.flatMap(nic => {
      const old = this.#moves.get(nic.id)
      const present = seen.get(nic.id)
      const move: Move = old !== undefined && goesOn(nic, old) ? { ...old, status: nic.status } : fresh(nic.status, old?.seen, now)
      const action = arrived(nic, old?.seen, present)
      if (action === 'AttachENI') move.usual?.learn(move.early)
      const tooEarly = asked.has(nic.id) && !(move.tries !== undefined && present === 'Available')
      this.#moves.set(nic.id, {
        ...move,
        ...(asked.has(nic.id) ? { at: now } : {}),
        ...(present === undefined ? {} : { seen: present }),
        ...(tooEarly ? { early: now - move.since } : {}),
      })
      return action === undefined ? [] : [{ eniId: nic.id, action }]
    })
  }

  /** What may be taken for true besides: what is gone stays gone between two looks, what was created is there when its usual time is over. */
  withAssumed(seen: ReadonlyMap<string, EniStatus | 'absent'>, now: number): ReadonlyMap<string, EniStatus | 'absent'> {
    const assumed = new Map<string, EniStatus | 'absent'>()
    for (const [id, m] of this.#moves) {
      if (m.seen === 'absent') assumed.set(id, 'absent')
      if (!isBlind(m) || now < dueAt(m)) continue
      assumed.set(id, 'Available')
      this.#moves.set(id, { ...m, at: now, tries: m.tries + 1, ...(m.tries > 0 ? { early: m.at - m.since } : {}) })
    }
    return new Map([...assumed, ...seen])
  }

  created(id: string, now: number): void {
    this.#moves.set(id, { ...fresh('Available', undefined, now), at: now, usual: this.#usual.creating, tries: 0 })
  }

  /**
   * The cloud has taken the call: the time that it waited for its budget does not count. Or it has refused it, because the ENI is in
   * another state: answers whether it was too early for a new one.
   */
  attaching(id: string, now: number, refused: boolean): 'underway' | 'early' {
    const old = this.#moves.get(id)
    if (refused && old?.tries !== undefined) return 'early'
    // The next one is tried later, when this one was refused at first: a refusal costs a call.
    if (old?.tries !== undefined) this.#usual.creating.learn(old.early === undefined ? undefined : now - old.since)
    if (old?.tries !== undefined || old?.status !== 'Attaching') {
      this.#moves.set(id, { ...fresh('Attaching', old?.seen, now), at: now, usual: this.#usual.attaching })
    }
    return 'underway'
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
    if (move === undefined || !goesOn(nic, move)) return true
    return !isBlind(move) && now >= dueAt(move)
  }

  /** Milliseconds until it is worth a round of its own; `scarce`: there is little budget for looks. */
  pollIn(nic: Nic, now: number, scarce: boolean): number {
    const move = this.#moves.get(nic.id)
    const least = isRemoved(nic) ? removePoll : scarce ? scarcePoll : attachPoll
    return Math.max(least, move === undefined ? 0 : dueAt(move) - now)
  }
}

function fresh(status: string, seen: Move['seen'], now: number): Move {
  return { status, since: now, seen, at: Number.NEGATIVE_INFINITY }
}

/** A new ENI is on its way to being attached from the first try on, though it be too early. */
function goesOn(nic: Nic, move: Move): boolean {
  return move.status === nic.status || (move.tries !== undefined && nic.status === 'Attaching')
}

function isBlind(move: Move): move is Move & { readonly tries: number } {
  return move.tries !== undefined && move.tries < blindTries
}

/** When the next look is due: after the usual time at first, then after a share of what it takes longer. */
function dueAt({ since, at, usual }: Move): number {
  const first = since + (usual?.ms ?? 0)
  if (usual !== undefined && at < first) return first
  return at + Math.min(slowest, Math.max(0, at - first) * (usual === undefined ? share : shareOver))
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
