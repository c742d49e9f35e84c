// SPDX-License-Identifier: Apache-2.0
import { setTimeout } from 'node:timers/promises'

/** Longer than what a test waits for takes on a slow and busy machine: only what never comes about takes so long. */
const patience = 120_000

/** Waits until the condition holds; throws when it never does. `ms` is for who expects that. */
export async function until(holds: () => boolean | Promise<boolean>, what = holds.toString(), ms = patience): Promise<void> {
  const end = performance.now() + ms
  while (!(await holds())) {
    if (performance.now() > end) throw new Error(`not within ${ms} ms: ${what}`)
    await setTimeout(10)
  }
}
