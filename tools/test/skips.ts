// SPDX-License-Identifier: Apache-2.0
import type { Result } from './result.ts'

/** A test may be skipped only with a line in test/skips.txt: `<layer> <test name> — reason`. A listed test that runs is fine. */
export interface Skip {
  layer: string
  name: string
}

/** @throws Error naming a line without layer, name or reason. */
export function parseSkips(text: string): Skip[] {
  return text.split('\n').flatMap((line, i) => {
    if (line.trim() === '' || line.startsWith('#')) return []
    const parts = /^(?<layer>\S+) (?<name>.+?) — (?<reason>\S.*)$/.exec(line)?.groups
    if (parts === undefined) throw new Error(`test/skips.txt:${i + 1}: write "<layer> <test name> — reason"`)
    return [{ layer: parts.layer ?? '', name: parts.name ?? '' }]
  })
}

/** The same results, with every skip that is not listed turned into a failure. */
export function judgeSkips(layer: string, results: readonly Result[], listed: readonly Skip[]): Result[] {
  return results.map(result => {
    if (result.outcome !== 'skipped' || listed.some(skip => skip.layer === layer && skip.name === result.name)) return result
    return {
      ...result,
      outcome: 'failed',
      text: `skipped (${result.text}), but test/skips.txt has no line "${layer} ${result.name} — reason"`,
    }
  })
}
