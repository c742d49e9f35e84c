// SPDX-License-Identifier: Apache-2.0

/**
 * A fault with a code from a closed union that each folder declares (`type LedgerCode = 'ledger-corrupt' | …`).
 * Throw for faults only; an expected outcome (pool dry, not found) is a returned union.
 * The message names the object or field and the way out; `cause` keeps what was caught.
 */
export class AppError<Code extends string = string> extends Error {
  readonly code: Code

  constructor(code: Code, message: string, options?: { cause?: unknown }) {
    super(message, options)
    this.name = 'AppError'
    this.code = code
  }
}

export function isAppError(e: unknown): e is AppError {
  return e instanceof AppError
}

/** The text of whatever was thrown, with its chain of causes: `write failed: disk full`. */
export function messageOf(e: unknown): string {
  if (!(e instanceof Error)) return String(e)
  return e.cause === undefined ? e.message : `${e.message}: ${messageOf(e.cause)}`
}

/** For the default branch of a switch over a union: the compiler refuses a missing case. */
export function unreachable(value: never): never {
  throw new Error(`unreachable: ${JSON.stringify(value)}`)
}
