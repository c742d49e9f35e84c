// SPDX-License-Identifier: Apache-2.0

/** How one test ended, or something that it wants to be shown (`note`). */
export interface Result {
  outcome: 'passed' | 'failed' | 'skipped' | 'note'
  /** With the names of the tests and suites around it: "suite > test". */
  name: string
  /** Where the test is written: "path:line". */
  place: string
  /** Why it failed or was skipped, or the note; empty when it passed. */
  text: string
}

export interface LayerResult {
  layer: string
  results: readonly Result[]
  ms: number
}

export interface Counts {
  passed: number
  failed: number
  skipped: number
}

export function count(results: readonly Result[]): Counts {
  const of = (outcome: Result['outcome']) => results.filter(result => result.outcome === outcome).length
  return { passed: of('passed'), failed: of('failed'), skipped: of('skipped') }
}

/** The line that ends every run; others read it. */
export const countsLine = ({ passed, failed, skipped }: Counts) => `${passed} passed, ${failed} failed, ${skipped} skipped`
