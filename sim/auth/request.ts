// SPDX-License-Identifier: Apache-2.0

/** An HTTP request with its body read: what signatures are computed over. */
export interface WireRequest {
  readonly method: string
  /** Path without query, as sent. */
  readonly path: string
  /** Decoded query parameters, in order. */
  readonly query: readonly (readonly [string, string])[]
  /** Decoded form parameters; empty when the body is no form. */
  readonly form: readonly (readonly [string, string])[]
  /** Lower-case names. */
  readonly headers: Readonly<Record<string, string | undefined>>
  readonly body: Buffer
}

/** RFC 3986 with nothing but unreserved characters left bare, as both signature versions encode. */
export function percentEncode(text: string): string {
  return encodeURIComponent(text).replace(/[!'()*]/g, c => `%${c.charCodeAt(0).toString(16).toUpperCase()}`)
}

/** `a=b&c=d`, sorted by name. */
export function canonicalQuery(pairs: readonly (readonly [string, string])[]): string {
  return [...pairs]
    .sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0))
    .map(([name, value]) => `${percentEncode(name)}=${percentEncode(value)}`)
    .join('&')
}
