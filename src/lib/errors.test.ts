// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { AppError, isAppError, messageOf } from '#lib/errors.ts'

test('messageOf tells the chain of causes', () => {
  const e = new AppError('ledger-full', 'cannot write the ledger', { cause: new Error('ENOSPC') })
  assert.equal(messageOf(e), 'cannot write the ledger: ENOSPC')
  assert.equal(messageOf('text'), 'text')
  assert.ok(isAppError(e))
  assert.equal(isAppError(new Error('x')), false)
})
