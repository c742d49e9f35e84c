// SPDX-License-Identifier: Apache-2.0
import { createHash, createHmac } from 'node:crypto'
import { fault, missing } from '../model/errors.ts'
import { canonicalQuery, type WireRequest } from './request.ts'
import { parseTime } from './v1.ts'
import type { Claim } from './verify.ts'

export const algorithm = 'ACS3-HMAC-SHA256'

/**
 * Signature version 3: HMAC-SHA256 over a canonical request of method, path, query, the signed headers and the hash of the
 * body (OpenAPI documentation, "V3 request body & signature mechanism"). Action, version and date travel as x-acs-* headers.
 */
export function claimOfAcs3(request: WireRequest): Claim {
  const header = request.headers.authorization ?? ''
  const parts = /^ACS3-HMAC-SHA256\s+Credential=([^,]+),\s*SignedHeaders=([^,]+),\s*Signature=([0-9a-zA-Z]+)$/.exec(header)
  if (parts === null) throw incomplete()
  const [, accessKeyId = '', signedHeaders = '', signature = ''] = parts
  const names = signedHeaders.split(';')
  for (const name of ['host', 'x-acs-action', 'x-acs-version', 'x-acs-date', 'x-acs-signature-nonce', 'x-acs-content-sha256'])
    if (!names.includes(name)) throw incomplete()
  const need = (name: string) => {
    const value = request.headers[name]
    if (value === undefined || value === '') throw missing(name)
    return value
  }
  const bodyHash = createHash('sha256').update(request.body).digest('hex')
  if (need('x-acs-content-sha256') !== bodyHash) throw mismatch()
  const text = stringToSign(request, names, bodyHash)
  return {
    accessKeyId,
    securityToken: request.headers['x-acs-security-token'],
    timestamp: parseTime(need('x-acs-date')),
    nonce: need('x-acs-signature-nonce'),
    signature: Buffer.from(signature),
    expected: secret => createHmac('sha256', secret).update(text).digest('hex'),
    mismatch,
  }
}

function stringToSign(request: WireRequest, names: readonly string[], bodyHash: string): string {
  const headers = names.map(name => `${name}:${(request.headers[name] ?? '').trim()}\n`).join('')
  const canonical = [request.method, request.path, canonicalQuery(request.query), headers, names.join(';'), bodyHash].join('\n')
  return `${algorithm}\n${createHash('sha256').update(canonical).digest('hex')}`
}

function incomplete() {
  return fault('IncompleteSignature', 'The request signature does not conform to Aliyun standards.')
}

function mismatch() {
  return fault('SignatureDoesNotMatch', 'Specified signature is not matched with our calculation.')
}
