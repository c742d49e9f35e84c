// SPDX-License-Identifier: Apache-2.0
import type { Change } from '#state/entry.ts'
import { allowedRange, serviceKey, serviceValue, sourceRangeKey } from './entries.ts'
import type { FrontendPlan, Use } from './plan.ts'

export interface Numbers {
  readonly frontend: number
  /** Of a set by its name. */
  set(name: string): number
  /** Flags beside those of the plan. */
  readonly flags: number
}

/** The entries of a frontend: who asks finds its set there. */
export function entriesOfFrontend(plan: FrontendPlan, numbers: Numbers): readonly Change[] {
  const { frontend } = numbers
  const entry = (scope: 'inside' | 'outside', use: Use): Change => ({
    map: 'services',
    key: serviceKey(plan, scope),
    value: serviceValue({
      set: numbers.set(use.set),
      frontend,
      flags: use.flags | numbers.flags,
      affinitySeconds: use.affinitySeconds,
    }),
  })
  return [
    entry('inside', plan.inside),
    ...(plan.outside ? [entry('outside', plan.outside)] : []),
    ...plan.sourceRanges.map((r): Change => ({ map: 'source_ranges', key: sourceRangeKey(frontend, r), value: allowedRange })),
  ]
}

/** What has been said of each frontend, so that only what differs is said again. */
export class Published {
  readonly #byFrontend = new Map<string, readonly Change[]>()

  /** No entries: nobody serves it. */
  differences(frontend: string, entries: readonly Change[]): readonly Change[] {
    const before = this.#byFrontend.get(frontend) ?? []
    if (entries.length > 0) this.#byFrontend.set(frontend, entries)
    else this.#byFrontend.delete(frontend)
    const isOf = (list: readonly Change[], e: Change) => list.some(o => o.key === e.key && o.map === e.map)
    const changed = entries.filter(e => !before.some(o => o.key === e.key && o.map === e.map && o.value === e.value))
    return [...changed, ...before.filter(e => !isOf(entries, e)).map(e => ({ ...e, value: undefined }))]
  }
}
