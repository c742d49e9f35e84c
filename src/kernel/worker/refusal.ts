// SPDX-License-Identifier: Apache-2.0

import { NetlinkError } from '#kernel/netlink/conn.ts'
import { errnoOf } from '#kernel/netns.ts'
import type { KernelOp } from '#kernel/op.ts'
import { KernelError } from '#kernel/port.ts'
import { messageOf } from '#lib/errors.ts'

/** Whatever was thrown on the worker as a KernelError: errno, the kernel's explanation, and the operation when there was one. */
export function refusal(e: unknown, what: string, op?: KernelOp): KernelError {
  const context = op === undefined ? {} : { op }
  if (e instanceof KernelError) return e.op === undefined && op !== undefined ? new KernelError(e.code, e.message, context) : e
  if (e instanceof NetlinkError) return new KernelError('kernel-refused', what, { errno: e.errno, explanation: e.explanation, ...context })
  const errno = errnoOf(e)
  const hint =
    errno === 'EROFS' && op?.op === 'sysctl-set' ? "/proc/sys is read-only here: mount the host's /proc and name it as procRoot" : ''
  return new KernelError('kernel-refused', what, { errno, explanation: errno === '' ? messageOf(e) : hint, ...context })
}
