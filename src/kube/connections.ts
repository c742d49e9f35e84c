// SPDX-License-Identifier: Apache-2.0
import { Agent, type IncomingMessage, request } from 'node:http'
import { request as requestOverTls, Agent as TlsAgent } from 'node:https'
import type { Socket } from 'node:net'
import type { Clock } from '#lib/clock.ts'

/** The API server closes idle connections after 90 s; ours go first, so that a request seldom meets a dying one. */
const keepAlive = 60_000
const connectTimeout = 5_000
/** A dead peer is found 25 s after the last packet: libuv sends ten probes, one a second, after this delay. */
const probeDelay = 15_000

export interface TlsOptions {
  readonly ca?: string[]
  readonly cert?: string
  readonly key?: string
  readonly servername?: string
  readonly rejectUnauthorized: boolean
}

export interface Exchange {
  readonly method: string
  /** Path and query. */
  readonly path: string
  readonly headers: Readonly<Record<string, string>>
  readonly body: string | undefined
  readonly signal: AbortSignal
}

/** The connections to one server. HTTP/1.1 on purpose: a watch then has one of its own, and a stalled one blocks nobody else. */
export class Connections {
  readonly #server: string
  readonly #clock: Clock
  readonly #secure: boolean
  readonly #agent: Agent

  constructor(server: string, tls: TlsOptions, clock: Clock) {
    this.#server = server
    this.#clock = clock
    this.#secure = server.startsWith('https:')
    const options = { keepAlive: true, timeout: keepAlive }
    this.#agent = this.#secure ? new TlsAgent({ ...options, ...tls }) : new Agent(options)
  }

  /** Resolves when the answer's head is there. Rejects with what Node says; ETIMEDOUT when no connection comes about. */
  send({ method, path, headers, body, signal }: Exchange): Promise<IncomingMessage> {
    return new Promise((resolve, reject) => {
      // Node itself does not say how long the body of a DELETE is.
      const length = body === undefined ? {} : { 'content-length': String(Buffer.byteLength(body)) }
      const options = { method, path, headers: { ...headers, ...length }, signal, agent: this.#agent }
      const call = (this.#secure ? requestOverTls : request)(this.#server, options, resolve)
      call.on('error', reject)
      call.once('socket', socket => {
        if (!socket.connecting) return
        socket.setKeepAlive(true, probeDelay)
        this.#limit(socket)
      })
      call.end(body)
    })
  }

  /** Connections without a request end now, the others with theirs. */
  retire(): void {
    this.#agent.maxFreeSockets = 0
    for (const free of Object.values(this.#agent.freeSockets)) for (const socket of free ?? []) socket.destroy()
  }

  destroy(): void {
    this.#agent.destroy()
  }

  #limit(socket: Socket): void {
    const late = Object.assign(new Error(`no connection to ${this.#server} within ${connectTimeout} ms`), { code: 'ETIMEDOUT' })
    const cancel = this.#clock.after(connectTimeout, () => socket.destroy(late))
    socket.once(this.#secure ? 'secureConnect' : 'connect', cancel)
    socket.once('close', cancel)
  }
}
