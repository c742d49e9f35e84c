// SPDX-License-Identifier: Apache-2.0
import { createHash } from 'node:crypto'
import { fault } from './errors.ts'
import type { State } from './state.ts'

/**
 * Idempotency by ClientToken (ECS: how to ensure idempotence): within 24 h the same token of the same user with the same
 * parameters gets the first reply and changes nothing; with other parameters IdempotentParameterMismatch (400). A call that
 * failed leaves no trace of its token. `scope` names user and action, `request` everything that must be the same.
 */
export function once(state: State, scope: string, token: string | undefined, request: string, operation: () => object): object {
  if (token === undefined) return operation()
  if (!/^[\x20-\x7e]{1,64}$/.test(token)) throw fault('InvalidParameter', 'ClientToken has 1 to 64 ASCII characters.')
  const id = `${scope}/${token}`
  const requestHash = createHash('sha256').update(request).digest('base64')
  const known = state.get('token', id)
  if (known === undefined) {
    const reply = operation()
    state.put('token', { id, requestHash, reply, at: state.now })
    return reply
  }
  if (known.requestHash !== requestHash)
    throw fault('IdempotentParameterMismatch', 'The request uses the same client token as a previous, but non-identical request.')
  return known.reply
}
