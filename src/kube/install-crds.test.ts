// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { isNewer } from './install-crds.ts'

test('a CRD is replaced only by a higher version', () => {
  const cases: readonly (readonly [string, string | undefined, boolean])[] = [
    ['v0.11.0', 'v0.10.0', true],
    ['v0.11.0', 'v0.9.9', true],
    ['v0.11.0', 'v0.11.0', false],
    ['v0.11.0', 'v0.11.1', false],
    ['v0.11.0', 'v1.0.0', false],
    ['v0.11.0', undefined, true],
    ['v0.11.0', 'latest', true],
  ]
  for (const [ours, theirs, expected] of cases) assert.equal(isNewer(ours, theirs), expected, `${ours} over ${theirs}`)
})
