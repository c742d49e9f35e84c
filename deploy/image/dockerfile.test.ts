// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { dockerfile, dockerfilePath } from './dockerfile.ts'
import { terway } from './list.ts'

test('the Dockerfile says what list.ts says', { skip: process.arch === 'x64' ? false : 'it is kept for x64' }, () => {
  const message = 'run: node deploy/image/dockerfile.ts'
  assert.equal(readFileSync(dockerfilePath, 'utf8'), dockerfile(terway), message)
})
