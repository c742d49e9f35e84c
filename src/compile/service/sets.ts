// SPDX-License-Identifier: Apache-2.0
import type { Change } from '#state/entry.ts'
import type { Target } from '#state/target.ts'
import type { Backends } from './backends.ts'
import { memberEntry, noSet, setEntry, slotEntry } from './entries.ts'
import { maglevTable } from './maglev.ts'
import type { SetPlan } from './plan.ts'
import { nextSlots } from './slots.ts'

interface LiveSet {
  readonly id: number
  readonly slots: readonly number[]
  readonly affinity: boolean
  readonly members: ReadonlyMap<string, { readonly id: number; readonly target: Target }>
}

/** A number and slots of an earlier process. */
export interface RestoredSet {
  readonly id: number
  readonly slots: readonly number[]
}

export interface SetsInput {
  readonly plans: readonly SetPlan[]
  /** Tables of Maglev in the slots. */
  readonly hashed: boolean
  /** What an earlier process had for a set that is new to this one. */
  claim(plan: SetPlan): RestoredSet | undefined
}

/** The sets of backends by Service and name, and what is in their slots. */
export class Sets {
  readonly #ofService = new Map<string, ReadonlyMap<string, LiveSet>>()
  readonly #backends: Backends
  #last: number

  /** Numbers up to `last` may be in the maps. */
  constructor(backends: Backends, last: number) {
    this.#backends = backends
    this.#last = last
  }

  numberOf(service: string, name: string): number | undefined {
    return this.#ofService.get(service)?.get(name)?.id
  }

  backendsOf(service: string, name: string): readonly { readonly id: number; readonly target: Target }[] {
    return [...(this.#ofService.get(service)?.get(name)?.members.values() ?? [])]
  }

  update(service: string, input: SetsInput, now: number): readonly Change[] {
    const before = this.#ofService.get(service) ?? new Map<string, LiveSet>()
    const after = new Map<string, LiveSet>()
    const parts: (readonly Change[])[] = []
    for (const plan of input.plans) {
      const old = before.get(plan.name)
      const claimed = old === undefined ? input.claim(plan) : undefined
      const id = old?.id ?? claimed?.id ?? ++this.#last
      const members = this.#takeMembers(service, plan, old, claimed)
      const next = { id, members, affinity: plan.affinity, slots: slotsOf(members, input.hashed, (old ?? claimed)?.slots ?? []) }
      after.set(plan.name, next)
      parts.push(differences(old, next))
    }
    // Only now, so that a backend that goes from one set to another never drains.
    for (const [name, old] of before) {
      const next = after.get(name)
      for (const [key, m] of old.members) if (!next?.members.has(key)) this.#backends.release(m.target, service, now)
      if (next === undefined) parts.push(differences(old, undefined))
    }
    if (after.size > 0) this.#ofService.set(service, after)
    else this.#ofService.delete(service)
    return parts.flat()
  }

  #takeMembers(service: string, plan: SetPlan, old: LiveSet | undefined, claimed: RestoredSet | undefined): LiveSet['members'] {
    const members = new Map<string, { id: number; target: Target }>()
    for (const target of plan.backends) {
      const { key } = target
      members.set(key, old?.members.get(key) ?? { id: this.#backends.take(target, service, claimed?.slots), target })
    }
    return members
  }
}

function slotsOf(members: LiveSet['members'], hashed: boolean, before: readonly number[]): readonly number[] {
  const ids = [...members.values()].map(m => m.id)
  if (!hashed) return nextSlots(before, new Set(ids))
  return maglevTable([...members.keys()]).flatMap(i => ids[i] ?? [])
}

function differences(old: LiveSet | undefined, next: LiveSet | undefined): readonly Change[] {
  const id = next?.id ?? old?.id ?? 0
  const [before, after] = [old?.slots ?? [], next?.slots ?? []]
  const changes: Change[] = []
  for (let i = 0; i < Math.max(before.length, after.length); i++) if (before[i] !== after[i]) changes.push(slotEntry(id, i, after[i]))
  const [had, has] = [stickyOf(old), stickyOf(next)]
  for (const b of has) if (!had.has(b)) changes.push(memberEntry(id, b, true))
  for (const b of had) if (!has.has(b)) changes.push(memberEntry(id, b, false))
  if (next === undefined) changes.push(noSet(id))
  else if (old === undefined || before.length !== after.length) changes.push(setEntry(id, after.length))
  return changes
}

/** Sets with affinity tell of each backend whether it is theirs. */
function stickyOf(set: LiveSet | undefined): ReadonlySet<number> {
  return new Set(set?.affinity ? [...set.members.values()].map(m => m.id) : [])
}
