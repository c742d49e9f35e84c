// SPDX-License-Identifier: Apache-2.0
import { createHmac } from 'node:crypto'
import { fault, invalid, missing } from '../model/errors.ts'
import { canonicalQuery, percentEncode, type WireRequest } from './request.ts'
import type { Claim } from './verify.ts'

/**
 * RPC signature version 1.0: HMAC-SHA1 over method, "/" and all query and form parameters but Signature, keyed with
 * the secret and "&" (ECS reference, "Request signatures"). Everything travels as parameters.
 */
export function claimOfV1(request: WireRequest): Claim {
  const pairs = [...request.query, ...request.form]
  const params = new Map(pairs)
  const need = (name: string) => {
    const value = params.get(name)
    if (value === undefined || value === '') throw missing(name)
    return value
  }
  const accessKeyId = need('AccessKeyId')
  const signature = need('Signature')
  if (need('SignatureMethod') !== 'HMAC-SHA1') throw invalid('SignatureMethod', 'this server verifies HMAC-SHA1')
  if (need('SignatureVersion') !== '1.0') throw invalid('SignatureVersion', 'it is not 1.0')
  const timestamp = need('Timestamp')
  const nonce = need('SignatureNonce')
  const text = stringToSign(request.method, pairs)
  const securityToken = params.get('SecurityToken')
  return {
    accessKeyId,
    securityToken,
    timestamp: parseTime(timestamp),
    nonce,
    signature: Buffer.from(signature),
    expected: secret => signV1(secret, text),
    // SDKs compare what they signed with the text after the colon, to tell a wrong secret from a wrong text. It would repeat a token.
    mismatch: () =>
      fault(
        'SignatureDoesNotMatch',
        `Specified signature is not matched with our calculation.${securityToken === undefined ? ` server string to sign is:${text}` : ''}`,
      ),
  }
}

export function stringToSign(method: string, pairs: readonly (readonly [string, string])[]): string {
  const signed = pairs.filter(([name]) => name !== 'Signature')
  return `${method}&%2F&${percentEncode(canonicalQuery(signed))}`
}

export function signV1(secret: string, text: string): string {
  return createHmac('sha1', `${secret}&`).update(text).digest('base64')
}

/** ISO 8601 in UTC with seconds; InvalidTimeStamp.Format (400) otherwise. */
export function parseTime(text: string): number {
  const time = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/.test(text) ? Date.parse(text) : Number.NaN
  if (Number.isNaN(time)) throw fault('InvalidTimeStamp.Format', 'Specified time stamp or date value is not well formatted.')
  return time
}
