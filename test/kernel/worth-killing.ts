// SPDX-License-Identifier: Apache-2.0

/** Numbers of the steps (step-killed.ts) that are not like another one before: each kind of step between each kind of neighbours. EVERY_STEP=1 is for all. */
export function worthKilling(steps: readonly string[]): readonly number[] {
  if (process.env.EVERY_STEP !== undefined) return steps.map((_, i) => i + 1)
  const met = new Set<string>()
  return steps.flatMap((step, i) => {
    const kind = [steps[i - 1], step, steps[i + 1]].join()
    return met.has(kind) ? [] : [met.add(kind) && i + 1]
  })
}
