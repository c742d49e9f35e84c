// SPDX-License-Identifier: Apache-2.0
import { AppError } from '#lib/errors.ts'

/** Aborts when this process is asked to end, or nobody reads what it prints any more. It does not end by itself from now on. */
export function stopped(): AbortSignal {
  const ends = new AbortController()
  const end = () => ends.abort(new AppError('stopped', 'asked to end'))
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.once(signal, end)
  process.stdout.on('error', end)
  return ends.signal
}
