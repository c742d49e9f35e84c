// SPDX-License-Identifier: Apache-2.0
import type { KernelOp } from '#kernel/op.ts'
import type { Kernel } from '#kernel/port.ts'

/** Rounds of observing and applying before a refusal is taken as final. */
const rounds = 3

/** One look at the world: what is to be done, and whatever the caller wants to know of what was seen. */
export interface Look<T> {
  readonly ops: readonly KernelOp[]
  readonly seen: T
}

/**
 * Observe, diff, apply until nothing is refused. A refusal is looked at again, since somebody may have changed the world
 * between the look and the deed; the same operations refused twice are final. Answers every operation performed and the
 * last look. Throws what `look` throws, and the KernelError of the refusal.
 */
export async function converge<T>(kernel: Kernel, look: () => Promise<Look<T>>): Promise<Look<T>> {
  const done: KernelOp[] = []
  for (let round = 1; ; round++) {
    const { ops, seen } = await look()
    if (ops.length === 0) return { ops: done, seen }
    const result = await kernel.apply(ops)
    done.push(...result.done)
    if (result.failed === undefined) return { ops: done, seen }
    if (result.failed.code !== 'kernel-refused' || round === rounds) throw result.failed
  }
}
