// SPDX-License-Identifier: Apache-2.0
import { chmod, mkdir, rename, rm } from 'node:fs/promises'
import { createServer, type RequestListener, type Server, type ServerResponse } from 'node:http'
import { dirname } from 'node:path'
import { AppError, messageOf } from '#lib/errors.ts'
import type { Logger } from '#lib/log.ts'

/** What a path answers. A body that is not text is sent as JSON. */
export interface Answer {
  readonly status: number
  readonly type?: string
  readonly headers?: Readonly<Record<string, string>>
  readonly body: unknown
}
export type Route = (query: URLSearchParams) => Answer | Promise<Answer>
export type Routes = Readonly<Record<string, Route>>

/** `unix:///path` or `host:port`; an empty host means every address. */
export type ListenAddress = string

/** Serves GET on the given paths, or one answer on every path. A unix socket is made 0600 before it appears. Throws AppError `http-listen`. */
export async function serveHttp(
  address: ListenAddress,
  routes: Routes | Route,
  log: Logger,
): Promise<{ readonly port: number; close(): Promise<void> }> {
  const server = createServer(answer(routes, log))
  server.requestTimeout = 10_000
  const path = socketPath(address)
  try {
    if (path === undefined) await listen(server, tcpOptions(address))
    else {
      await mkdir(dirname(path), { recursive: true })
      await rm(`${path}.new`, { force: true })
      await listen(server, { path: `${path}.new` })
      await chmod(`${path}.new`, 0o600)
      await rename(`${path}.new`, path)
    }
  } catch (cause) {
    server.close()
    throw new AppError('http-listen', `cannot serve HTTP on ${address}`, { cause })
  }
  const bound = server.address()
  return {
    port: typeof bound === 'object' && bound !== null ? bound.port : 0,
    close: async () => {
      server.closeAllConnections()
      await new Promise<void>(done => server.close(() => done()))
      if (path !== undefined) await rm(path, { force: true })
    },
  }
}

/** The path of `unix:///var/run/x` (or `unix:/var/run/x`), undefined for host:port. */
export function socketPath(address: ListenAddress): string | undefined {
  return /^unix:(?:\/\/)?(\/.*)$/.exec(address)?.[1]
}

function tcpOptions(address: string): { host?: string; port: number } {
  const found = /^(?:\[([^\]]+)\]|([^:]*)):(\d{1,5})$/.exec(address)
  const port = Number(found?.[3])
  if (found === null || port > 65_535) throw new AppError('http-listen', `${JSON.stringify(address)} is neither unix:///path nor host:port`)
  const host = found[1] ?? found[2] ?? ''
  return host === '' ? { port } : { host, port }
}

function listen(server: Server, options: { path: string } | { host?: string; port: number }): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject)
    server.listen(options, () => {
      server.off('error', reject)
      resolve()
    })
  })
}

function answer(routes: Routes | Route, log: Logger): RequestListener {
  return async (request, response) => {
    const url = new URL(request.url ?? '/', 'http://localhost')
    const route = typeof routes === 'function' ? routes : Object.hasOwn(routes, url.pathname) ? routes[url.pathname] : undefined
    if (request.method !== 'GET' && request.method !== 'HEAD') return send(response, { status: 405, body: 'only GET is served\n' })
    if (route === undefined) return send(response, { status: 404, body: `known paths: ${Object.keys(routes).join(' ')}\n` })
    try {
      send(response, await route(url.searchParams))
    } catch (e) {
      log.error({ path: url.pathname, err: messageOf(e) }, 'request failed')
      send(response, { status: 500, body: `${messageOf(e)}\n` })
    }
  }
}

function send(response: ServerResponse, a: Answer): void {
  const text = typeof a.body === 'string' ? a.body : `${JSON.stringify(a.body, null, 2)}\n`
  const type = a.type ?? (typeof a.body === 'string' ? 'text/plain; charset=utf-8' : 'application/json')
  response.writeHead(a.status, { ...a.headers, 'content-type': type, 'content-length': Buffer.byteLength(text) }).end(text)
}
