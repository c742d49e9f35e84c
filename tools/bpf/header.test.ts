// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { headerFile, renderHeader } from './header.ts'

test('the committed header is what the structs say; run tools/bpf/header.ts when this fails', () => {
  assert.equal(readFileSync(join(import.meta.dirname, '../..', headerFile), 'utf8'), renderHeader())
})
