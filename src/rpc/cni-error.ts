// SPDX-License-Identifier: Apache-2.0
import { AppError, isAppError, messageOf } from '#lib/errors.ts'

/**
 * The numbers of the CNI specification (section "Error"); 100 and up are ours. `try-again` is for whatever waiting mends,
 * `unserved` is STATUS with nobody servable, `limited` STATUS with only running containers servable.
 */
const numbers = {
  'incompatible-version': 1,
  'unsupported-field': 2,
  'unknown-container': 3,
  'bad-environment': 4,
  io: 5,
  'bad-content': 6,
  'bad-config': 7,
  'try-again': 11,
  unserved: 50,
  limited: 51,
  internal: 100,
  'pod-refused': 101,
  'check-failed': 102,
} as const

export type CniCode = keyof typeof numbers

export function cniError(code: CniCode, message: string, cause?: unknown): AppError<CniCode> {
  return new AppError(code, message, cause === undefined ? undefined : { cause })
}

/** The number for whatever was thrown: our own codes by the table, a ledger that cannot be written as 5, all else 100. */
export function cniNumber(e: unknown): number {
  if (!isAppError(e)) return numbers.internal
  if (isCniCode(e.code)) return numbers[e.code]
  return e.code.startsWith('ledger-') ? numbers.io : numbers.internal
}

/** The error result of the specification, one object. */
export function formatError(version: string, e: unknown): { readonly cniVersion: string; readonly code: number; readonly msg: string } {
  return { cniVersion: version, code: cniNumber(e), msg: messageOf(e) }
}

function isCniCode(code: string): code is CniCode {
  return Object.hasOwn(numbers, code)
}
