// SPDX-License-Identifier: Apache-2.0
import { timingSafeEqual } from 'node:crypto'
import type { Call } from '../call.ts'
import { type CloudFault, fault } from '../model/errors.ts'
import type { State } from '../model/state.ts'
import { type Nonces, toleranceMs } from './nonces.ts'
import { redeem } from './sts.ts'

/** Who a request says it is from, and the proof. */
export interface Claim {
  readonly accessKeyId: string
  readonly securityToken: string | undefined
  readonly timestamp: number
  readonly nonce: string
  readonly signature: Buffer
  readonly expected: (secret: string) => Buffer | string
  readonly mismatch: () => CloudFault
}

/** Establishes the caller, or throws: time, key, signature, nonce, in this order; a refused request uses no nonce up. */
export function verify(state: State, nonces: Nonces, claim: Claim, now: number): Call['caller'] {
  if (Math.abs(now - claim.timestamp) > toleranceMs)
    throw fault('InvalidTimeStamp.Expired', 'Specified time stamp or date value is expired.')
  const { secret, caller } = keyOf(state, claim, now)
  const expected = Buffer.from(claim.expected(secret))
  if (expected.length !== claim.signature.length || !timingSafeEqual(expected, claim.signature)) throw claim.mismatch()
  if (!nonces.take(`${claim.accessKeyId}/${claim.nonce}`, now))
    throw fault('SignatureNonceUsed', 'Specified signature nonce was used already.')
  return caller
}

function keyOf(state: State, claim: Claim, now: number): { readonly secret: string; readonly caller: Call['caller'] } {
  if (claim.accessKeyId.startsWith('STS.')) {
    const { role, secret } = redeem(state, claim.accessKeyId, claim.securityToken, now)
    return { secret, caller: { id: `role/${role}`, allow: state.get('role', role)?.allow ?? [] } }
  }
  const account = state.get('account', claim.accessKeyId)
  if (account === undefined) throw fault('InvalidAccessKeyId.NotFound', 'Specified access key is not found.')
  return { secret: account.secret, caller: { id: account.id, allow: account.allow } }
}
