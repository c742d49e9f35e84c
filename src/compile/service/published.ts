// SPDX-License-Identifier: Apache-2.0
import type { Cidr } from '#net/cidr.ts'
import type { Change } from '#state/entry.ts'
import type { Target } from '#state/target.ts'
import { allowedRange, serviceKey, serviceValue, sourceRangeKey } from './entries.ts'
import type { FrontendPlan, Use } from './plan.ts'

export interface Numbers {
  readonly frontend: number
  /** Of a set by its name. */
  set(name: string): number
  /** Flags beside those of the plan. */
  readonly flags: number
}

/** Who answers in one scope. */
interface Answer {
  readonly set: number
  readonly flags: number
  readonly affinitySeconds: number
}

/** A frontend as its entries say it: who asks finds its set there. */
export interface NumberedFrontend {
  readonly target: Target
  readonly frontend: number
  readonly inside: Answer
  readonly outside: Answer | undefined
  readonly sourceRanges: readonly Cidr[]
}

export function numbered(plan: FrontendPlan, numbers: Numbers): NumberedFrontend {
  const answer = ({ set, flags, affinitySeconds }: Use): Answer => ({
    set: numbers.set(set),
    flags: flags | numbers.flags,
    affinitySeconds,
  })
  return {
    target: plan,
    frontend: numbers.frontend,
    inside: answer(plan.inside),
    outside: plan.outside && answer(plan.outside),
    sourceRanges: plan.sourceRanges,
  }
}

function entriesOf({ target, frontend, inside, outside, sourceRanges }: NumberedFrontend): readonly Change[] {
  const entry = (scope: 'inside' | 'outside', answer: Answer): Change => ({
    map: 'services',
    key: serviceKey(target, scope),
    value: serviceValue({ frontend, ...answer }),
  })
  return [
    entry('inside', inside),
    ...(outside ? [entry('outside', outside)] : []),
    ...sourceRanges.map((r): Change => ({ map: 'source_ranges', key: sourceRangeKey(frontend, r), value: allowedRange })),
  ]
}

/** What has been said of each frontend, so that only what differs is said again. */
export class Published {
  readonly #byFrontend = new Map<string, NumberedFrontend>()

  /** Undefined: nobody serves it. */
  differences(id: string, next: NumberedFrontend | undefined): readonly Change[] {
    const before = this.#byFrontend.get(id)
    if (next === undefined) this.#byFrontend.delete(id)
    else this.#byFrontend.set(id, next)
    // As after most changes: to make entries takes longer than all the rest.
    if (before !== undefined && next !== undefined && isSame(before, next)) return []
    return changed(before === undefined ? [] : entriesOf(before), next === undefined ? [] : entriesOf(next))
  }
}

function changed(had: readonly Change[], has: readonly Change[]): readonly Change[] {
  const isOf = (list: readonly Change[], e: Change) => list.some(o => o.key === e.key && o.map === e.map)
  const others = has.filter(e => !had.some(o => o.key === e.key && o.map === e.map && o.value === e.value))
  return [...others, ...had.filter(e => !isOf(has, e)).map(e => ({ ...e, value: undefined }))]
}

/** Both are of one target. */
function isSame(a: NumberedFrontend, b: NumberedFrontend): boolean {
  const ranges = a.sourceRanges.length === b.sourceRanges.length && a.sourceRanges.every((r, i) => r === b.sourceRanges[i])
  return a.frontend === b.frontend && ranges && isSameAnswer(a.inside, b.inside) && isSameAnswer(a.outside, b.outside)
}

function isSameAnswer(a: Answer | undefined, b: Answer | undefined): boolean {
  return a?.set === b?.set && a?.flags === b?.flags && a?.affinitySeconds === b?.affinitySeconds
}
