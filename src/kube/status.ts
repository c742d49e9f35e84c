// SPDX-License-Identifier: Apache-2.0
import { AppError, messageOf } from '#lib/errors.ts'
import { isObject } from './parse.ts'
import type { KubeCode } from './port.ts'

/** A refusal of the API server. `gone`: the watch or page is too old (410), list again; only seen inside this folder. */
export class StatusError extends AppError<KubeCode> {
  readonly status: number
  readonly gone: boolean
  /** The kind is served, but has no object of that name: only then may anybody conclude that it does not exist. */
  readonly noSuchObject: boolean
  /** Milliseconds to wait, when the server said so. */
  readonly retryAfter: number | undefined

  constructor(code: KubeCode, message: string, o: { status: number; retryAfter?: number | undefined; noSuchObject?: boolean }) {
    super(code, message)
    this.status = o.status
    this.gone = o.status === 410
    this.noSuchObject = o.noSuchObject ?? false
    this.retryAfter = o.retryAfter
  }
}

function codeOf(status: number, reason: string): KubeCode {
  switch (status) {
    case 401:
      return 'unauthorized'
    case 403:
      return 'forbidden'
    case 404:
      return 'not-found'
    case 409:
      return reason === 'AlreadyExists' ? 'already-exists' : 'conflict'
    case 410:
      return 'unavailable'
    case 429:
      return 'throttled'
    default:
      return status >= 500 ? 'unavailable' : 'invalid'
  }
}

/** `what`: the request as text, e.g. "PATCH /api/v1/nodes/a". `body`: a metav1.Status, or whatever a proxy in between said. */
export function statusError(what: string, status: number, body: unknown, retryAfter?: string): StatusError {
  const [reason, message] = isObject(body)
    ? [String(body.reason ?? ''), String(body.message ?? '')]
    : ['', String(body ?? '').slice(0, 200)]
  const seconds = Number(retryAfter)
  // A path that the server does not serve (no such CRD) is a 404 as well, but names no object.
  const details = isObject(body) && isObject(body.details) ? body.details : {}
  return new StatusError(codeOf(status, reason), `${what}: ${status} ${reason}${message === '' ? '' : `: ${message}`}`, {
    status,
    noSuchObject: status === 404 && typeof details.name === 'string' && details.name !== '',
    retryAfter: retryAfter !== undefined && Number.isFinite(seconds) ? seconds * 1000 : undefined,
  })
}

export function unavailable(what: string, cause: unknown): AppError<KubeCode> {
  return new AppError<KubeCode>('unavailable', `${what}: ${messageOf(cause)}`, { cause })
}
