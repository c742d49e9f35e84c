// SPDX-License-Identifier: Apache-2.0
import type { Look } from '#datapath/apply.ts'
import type { Attachment } from '#datapath/attachment.ts'
import type { KernelOp } from '#kernel/op.ts'
import { isAppError } from '#lib/errors.ts'
import type { Mac } from '#net/mac.ts'

/** What pods need to know of the node's programs. */
export interface PodPrograms {
  readonly generation: string
  readonly services: boolean
}

/** What a look at a pod found. */
export interface Found {
  /** Its devices are there and belong together. */
  readonly isMade: boolean
  /** Of the host end, which is still to be made or which the pod does not have. */
  readonly hostMac: Mac
  readonly podMac: Mac
}

/** One of several pods that were looked at together. */
export interface Verdict {
  readonly a: Attachment
  /** Nothing is to be done, or its namespace is gone. */
  readonly isRight: boolean
  readonly isMade: boolean
}

/** What one kind of attachment is to the kernel: the engine asks, and does what is answered. */
export interface PodMode<A extends Attachment> {
  /** What `setup` would do now. Throws `netns-gone`, `eni-absent`, `pod-interface-taken`. */
  look(a: A): Promise<Look<Found>>
  /** The same for several with few looks; one of which it cannot be told is not right. */
  compare(some: readonly A[]): Promise<readonly Verdict[]>
  /** What takes its addresses, and what is not the pod's, from the pod's network; nothing when that was done. */
  withdrawal(a: A): Promise<readonly KernelOp[]>
}

/** The verdict on a pod by what `setup` would do. */
export function verdictOf(a: Attachment, judge: () => Look<Found>): Verdict {
  try {
    const { ops, seen } = judge()
    return { a, isRight: ops.length === 0, isMade: seen.isMade }
  } catch (e) {
    if (isAppError(e)) return unknown(a)
    throw e
  }
}

/** It cannot be told whether it is right. */
export function unknown(a: Attachment): Verdict {
  return { a, isRight: false, isMade: false }
}

/** There is nothing to put right where the namespace is gone. */
export function gone(a: Attachment): Verdict {
  return { a, isRight: true, isMade: false }
}
