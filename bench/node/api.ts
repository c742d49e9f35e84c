// SPDX-License-Identifier: Apache-2.0
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'

const pageSize = 500

/** The objects of one kind. */
export interface Collection {
  readonly apiVersion: string
  readonly kind: string
  readonly count: number
  /** Object number `n` (0…), at this version. */
  item(n: number, version: string): object
}

/** Where the kinds are that a node's proxies ask for. */
export const services = '/api/v1/services'
export const slices = '/apis/discovery.k8s.io/v1/endpointslices'
export const nodes = '/api/v1/nodes'
export const serviceCidrs = '/apis/networking.k8s.io/v1/servicecidrs'

/** As much of an API server as a node's proxies ask for: lists in pages, and watches. Versions count changes. */
export class ListApi {
  readonly #server = createServer((request, response) => this.#answer(request, response))
  readonly #collections: Readonly<Record<string, Collection>>
  readonly #watches = new Map<string, Set<ServerResponse>>()
  #version = 1

  /** By path. */
  constructor(collections: Readonly<Record<string, Collection>>) {
    this.#collections = collections
  }

  async listen(): Promise<string> {
    await new Promise<void>(done => this.#server.listen(0, '127.0.0.1', done))
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`
  }

  close(): void {
    this.#server.closeAllConnections()
    this.#server.close()
  }

  get watched(): boolean {
    return Object.keys(this.#collections).every(path => (this.#watches.get(path)?.size ?? 0) > 0)
  }

  /** Tells whoever watches that an object of this path is another one now. */
  change(path: string, object: (version: string) => object): void {
    this.#version++
    const line = `${JSON.stringify({ type: 'MODIFIED', object: object(String(this.#version)) })}\n`
    for (const watch of this.#watches.get(path) ?? []) watch.write(line)
  }

  #answer(request: IncomingMessage, response: ServerResponse): void {
    const url = new URL(request.url ?? '/', 'http://api')
    const collection = Object.hasOwn(this.#collections, url.pathname) ? this.#collections[url.pathname] : undefined
    if (request.method !== 'GET') reply(response, 201, {})
    else if (collection === undefined)
      reply(response, 404, { apiVersion: 'v1', kind: 'Status', status: 'Failure', reason: 'NotFound', code: 404 })
    else if (url.searchParams.get('watch') === 'true') this.#watch(url.pathname, response)
    else this.#list(collection, url, response)
  }

  #list({ apiVersion, kind, count, item }: Collection, url: URL, response: ServerResponse): void {
    const from = Number(url.searchParams.get('continue') ?? 0)
    const resourceVersion = String(this.#version)
    const more = from + pageSize < count && { continue: String(from + pageSize) }
    const items = Array.from({ length: Math.min(pageSize, count - from) }, (_, i) => item(from + i, resourceVersion))
    reply(response, 200, { apiVersion, kind: `${kind}List`, metadata: { resourceVersion, ...more }, items })
  }

  #watch(path: string, response: ServerResponse): void {
    const watches = this.#watches.get(path) ?? new Set()
    this.#watches.set(path, watches.add(response))
    response.on('close', () => watches.delete(response))
    response.writeHead(200, { 'content-type': 'application/json' })
    response.flushHeaders()
  }
}

function reply(response: ServerResponse, status: number, body: object): void {
  const text = JSON.stringify(body)
  response.writeHead(status, { 'content-type': 'application/json', 'content-length': Buffer.byteLength(text) }).end(text)
}
