// SPDX-License-Identifier: Apache-2.0
import type { Readable } from 'node:stream'
import type { Clock } from '#lib/clock.ts'
import { isAppError } from '#lib/errors.ts'
import { type KubeConfig, readSource } from './config.ts'
import { Connections } from './connections.ts'
import { StatusError, statusError, unavailable } from './status.ts'

export interface Request {
  readonly method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE'
  /** Path and query. */
  readonly path: string
  readonly body?: unknown
  readonly contentType?: string
}

/** A successful answer (2xx) whose body is still to be read. */
export interface Answer {
  readonly body: Readable
}

interface Credentials {
  readonly headers: Readonly<Record<string, string>>
  readonly tls: { readonly ca?: string[]; readonly cert?: string; readonly key?: string }
}

/** Credential files are read again after this many milliseconds, and at once after a 401. */
const credentialAge = 10_000
const minRetryAfter = 100

/** The deadline of a request has passed. */
class Overdue extends Error {}

/**
 * HTTP to the API server: kept-alive connections, credentials that are read again, the next server when one cannot be connected or
 * does not answer in time.
 */
export class Transport {
  private readonly config: KubeConfig
  private readonly clock: Clock
  private connections: { readonly tlsText: string; readonly byServer: Map<string, Connections> } = { tlsText: '', byServer: new Map() }
  private credentials: { readonly readAt: number; readonly value: Credentials } | undefined
  private preferred: string

  constructor(config: KubeConfig, clock: Clock) {
    this.config = config
    this.clock = clock
    this.preferred = this.servers()[0] ?? ''
  }

  /**
   * The answer's body parsed as JSON. The deadline covers the whole exchange. A server that names a time to wait (429, 503 with Retry-After) has not
   * done anything yet, so the request is sent again then, if that is before the deadline. Throws AppError<KubeCode>.
   */
  async json(r: Request, deadline: number): Promise<unknown> {
    const end = this.clock.now() + deadline
    const abort = new AbortController()
    const cancel = this.clock.after(deadline, () => abort.abort(new Overdue(`no answer within ${deadline} ms`)))
    try {
      for (;;) {
        try {
          const { body } = await this.open(r, abort.signal)
          return JSON.parse(await textOf(body))
        } catch (e) {
          const wait = e instanceof StatusError ? e.retryAfter : undefined
          if (wait === undefined || this.clock.now() + wait >= end) throw e
          await this.clock.sleep(Math.max(wait, minRetryAfter), abort.signal)
        }
      }
    } catch (e) {
      if (isAppError(e)) throw e
      throw unavailable(labelOf(r), abort.signal.aborted ? abort.signal.reason : e)
    } finally {
      cancel()
    }
  }

  /** Sends and returns when the head of a 2xx answer is there. After a 401 the credentials are read again and, when they changed, it is sent once more. */
  async open(r: Request, signal: AbortSignal): Promise<Answer> {
    const before = this.fresh()
    const first = await this.send(r, before, signal)
    if (first.status !== 401) return first.answer()
    const after = this.fresh(true)
    if (JSON.stringify(after) === JSON.stringify(before)) return first.answer()
    await textOf(first.body)
    return (await this.send(r, after, signal)).answer()
  }

  async close(): Promise<void> {
    for (const connections of this.connections.byServer.values()) connections.destroy()
    this.connections.byServer.clear()
  }

  /** A refused connection carried nothing, so any request may go to the next server; a GET may also be repeated when a kept-alive connection died under it. */
  private async send(r: Request, c: Credentials, signal: AbortSignal): Promise<Received> {
    for (let attempt = 0; ; attempt++) {
      const server = this.preferred
      try {
        return await this.sendTo(server, r, c, signal)
      } catch (e) {
        const refused = isConnectError(e)
        if (refused) this.leave(server)
        const again = refused ? attempt + 1 < this.servers().length : r.method === 'GET' && attempt === 0
        if (signal.aborted || !again) throw unavailable(labelOf(r), signal.aborted ? signal.reason : e)
      }
    }
  }

  /** The next server is asked from now on, unless another request has found out already. */
  private leave(server: string): void {
    if (this.preferred !== server) return
    const servers = this.servers()
    this.preferred = servers[(servers.indexOf(server) + 1) % servers.length] ?? server
  }

  private servers(): readonly string[] {
    const { servers, remembered = () => [] } = this.config
    return [...new Set([...servers, ...remembered()])]
  }

  private async sendTo(server: string, r: Request, c: Credentials, signal: AbortSignal): Promise<Received> {
    // One that takes requests and answers none of them cannot be told from a slow one before: whoever asks next asks another.
    signal.addEventListener('abort', () => signal.reason instanceof Overdue && this.leave(server), { once: true })
    const answer = await this.connectionsTo(server, c).send({
      method: r.method,
      path: r.path,
      signal,
      headers: {
        accept: 'application/json',
        'user-agent': 'terway-ts',
        ...c.headers,
        ...(r.body !== undefined && { 'content-type': r.contentType ?? 'application/json' }),
      },
      body: r.body === undefined ? undefined : JSON.stringify(r.body),
    })
    return new Received(labelOf(r), answer.statusCode ?? 0, answer, answer.headers['retry-after'])
  }

  private connectionsTo(server: string, c: Credentials): Connections {
    const tlsText = JSON.stringify(c.tls)
    if (tlsText !== this.connections.tlsText) {
      // A rotated client certificate or CA: new connections use it, the old ones end with their last request.
      for (const old of this.connections.byServer.values()) old.retire()
      this.connections = { tlsText, byServer: new Map() }
    }
    const known = this.connections.byServer.get(server)
    if (known !== undefined) return known
    const { serverName, insecure } = this.config
    const tls = { ...c.tls, rejectUnauthorized: insecure !== true, ...(serverName !== undefined && { servername: serverName }) }
    const made = new Connections(server, tls, this.clock)
    this.connections.byServer.set(server, made)
    return made
  }

  private fresh(force = false): Credentials {
    const now = this.clock.now()
    if (!force && this.credentials !== undefined && now - this.credentials.readAt < credentialAge) return this.credentials.value
    const { token, cert, key, ca } = this.config
    const value: Credentials = {
      headers: token === undefined ? {} : { authorization: `Bearer ${readSource(token).trim()}` },
      tls: {
        ...(ca.length > 0 && { ca: ca.map(readSource) }),
        ...(cert && { cert: readSource(cert) }),
        ...(key && { key: readSource(key) }),
      },
    }
    this.credentials = { readAt: now, value }
    return value
  }
}

class Received {
  readonly status: number
  readonly body: Readable
  private readonly label: string
  private readonly retryAfter: string | undefined

  constructor(label: string, status: number, body: Readable, retryAfter: string | undefined) {
    this.label = label
    this.status = status
    this.body = body
    this.retryAfter = retryAfter
  }

  /** Throws the StatusError of anything but 2xx. */
  async answer(): Promise<Answer> {
    if (this.status >= 200 && this.status < 300) return { body: this.body }
    const text = await textOf(this.body)
    throw statusError(this.label, this.status, jsonOr(text), this.retryAfter)
  }
}

async function textOf(body: Readable): Promise<string> {
  const chunks: Uint8Array[] = []
  for await (const chunk of body) chunks.push(chunk)
  return Buffer.concat(chunks).toString('utf8')
}

function jsonOr(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return text
  }
}

/** Without the query: page tokens and versions are noise. */
function labelOf(r: Request): string {
  return `${r.method} ${r.path.split('?')[0]}`
}

/** Nobody is there, or somebody who is no API server of this cluster: an address may have been given to another machine. */
const connectErrors = [
  ...['ECONNREFUSED', 'EHOSTUNREACH', 'ENETUNREACH', 'ENOTFOUND', 'EAI_AGAIN', 'ETIMEDOUT'],
  ...['ERR_TLS_CERT_ALTNAME_INVALID', 'DEPTH_ZERO_SELF_SIGNED_CERT', 'SELF_SIGNED_CERT_IN_CHAIN'],
  ...['UNABLE_TO_GET_ISSUER_CERT_LOCALLY', 'UNABLE_TO_VERIFY_LEAF_SIGNATURE', 'CERT_SIGNATURE_FAILURE'],
]

function isConnectError(e: unknown): boolean {
  return connectErrors.includes(String(e instanceof Error ? Reflect.get(e, 'code') : undefined))
}
