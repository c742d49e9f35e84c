// SPDX-License-Identifier: Apache-2.0
import { AppError } from '#lib/errors.ts'

const units: Readonly<Record<string, number>> = { ns: 1e-6, us: 1e-3, µs: 1e-3, ms: 1, s: 1000, m: 60_000, h: 3_600_000 }

/** Milliseconds of a Go duration such as `2m`, `1h30m` or `0.5s`; a bare `0` is zero. Throws `bad-duration`. */
export function parseDuration(text: string): number {
  if (text === '0') return 0
  if (!/^([0-9]+(\.[0-9]+)?(ns|us|µs|ms|s|m|h))+$/.test(text)) {
    throw new AppError('bad-duration', `${JSON.stringify(text)} is not a duration such as 2m or 1h30m`)
  }
  const parts = text.matchAll(/([0-9]+(?:\.[0-9]+)?)(ns|us|µs|ms|s|m|h)/g)
  return [...parts].reduce((sum, [, n, unit]) => sum + Number(n) * (units[unit ?? ''] ?? 0), 0)
}
