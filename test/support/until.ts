// SPDX-License-Identifier: Apache-2.0
import { setTimeout } from 'node:timers/promises'

/** Waits until the condition holds; throws when it does not within the deadline (milliseconds). */
export async function until(holds: () => boolean | Promise<boolean>, deadline = 10_000, what = holds.toString()): Promise<void> {
  const end = performance.now() + deadline
  while (!(await holds())) {
    if (performance.now() > end) throw new Error(`not within ${deadline} ms: ${what}`)
    await setTimeout(10)
  }
}
