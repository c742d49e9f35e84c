// SPDX-License-Identifier: Apache-2.0
import type { CliDeps } from '#cli/deps.ts'
import { AppError } from '#lib/errors.ts'

/** For people, or for programs. */
export type Output = 'text' | 'json'

export function parseOutput(text: string): Output {
  if (text === 'text' || text === 'json') return text
  throw new AppError('bad-argument', `--output is text or json, not ${text}`)
}

/** The value as JSON, or the lines that show it. */
export function print<T>(deps: Pick<CliDeps, 'out'>, output: Output, value: T, lines: (value: T) => readonly string[]): void {
  if (output === 'json') deps.out(JSON.stringify(value))
  else for (const line of lines(value)) deps.out(line)
}
