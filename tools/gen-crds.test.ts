// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { crdDirectory, renderCrds } from './gen-crds.ts'

test('the committed CRDs are what the schemas say; run tools/gen-crds.ts when this fails', () => {
  const dir = join(import.meta.dirname, '..', crdDirectory)
  const committed = new Map(readdirSync(dir).map(name => [name, readFileSync(join(dir, name), 'utf8')]))
  assert.deepEqual(new Map([...committed].sort()), new Map([...renderCrds()].sort()))
})
