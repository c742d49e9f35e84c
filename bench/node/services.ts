// SPDX-License-Identifier: Apache-2.0
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'

/** How many backends a Service has. */
export const endpointsEach = 10
const pageSize = 500
const kinds = {
  '/api/v1/services': 'services',
  '/apis/discovery.k8s.io/v1/endpointslices': 'endpointslices',
  '/api/v1/nodes': 'nodes',
} as const
type Plural = (typeof kinds)[keyof typeof kinds]

/** As much of an API server as a node's proxy asks for, with objects as a cluster has them. Versions count changes. */
export class ServicesApi {
  readonly #server = createServer((request, response) => this.#answer(request, response))
  readonly #watches = new Map<Plural, Set<ServerResponse>>()
  readonly #count: number
  readonly #node: string
  #version = 1

  constructor(count: number, node: string) {
    this.#count = count
    this.#node = node
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
    return Object.values(kinds).every(kind => (this.#watches.get(kind)?.size ?? 0) > 0)
  }

  /** Tells whoever watches that a Service has so many endpoints now. */
  change(service: number, endpoints: number): void {
    this.#version++
    const line = `${JSON.stringify({ type: 'MODIFIED', object: { kind: 'EndpointSlice', ...this.#slice(service, endpoints) } })}\n`
    for (const watch of this.#watches.get('endpointslices') ?? []) watch.write(line)
  }

  #answer(request: IncomingMessage, response: ServerResponse): void {
    const url = new URL(request.url ?? '/', 'http://api')
    const plural = Object.hasOwn(kinds, url.pathname) ? kinds[url.pathname as keyof typeof kinds] : undefined
    if (request.method !== 'GET' || plural === undefined) reply(response, 201, {})
    else if (url.searchParams.get('watch') === 'true') this.#watch(plural, response)
    else this.#list(plural, url, response)
  }

  #list(plural: Plural, url: URL, response: ServerResponse): void {
    const from = Number(url.searchParams.get('continue') ?? 0)
    const items = this.#page(plural, from)
    const more = plural !== 'nodes' && from + pageSize < this.#count
    reply(response, 200, {
      metadata: { resourceVersion: String(this.#version), ...(more && { continue: String(from + pageSize) }) },
      items,
    })
  }

  #watch(plural: Plural, response: ServerResponse): void {
    const watches = this.#watches.get(plural) ?? new Set()
    this.#watches.set(plural, watches.add(response))
    response.on('close', () => watches.delete(response))
    response.writeHead(200, { 'content-type': 'application/json' })
    response.flushHeaders()
  }

  #page(plural: Plural, from: number): readonly object[] {
    if (plural === 'nodes') return [this.#nodeObject()]
    const numbers = Array.from({ length: Math.min(pageSize, this.#count - from) }, (_, i) => from + i)
    return numbers.map(n => (plural === 'services' ? this.#service(n) : this.#slice(n, endpointsEach)))
  }

  #service(n: number): object {
    const ip = clusterIp(n)
    return {
      metadata: { ...this.#meta(`service-${n}`), annotations: { 'kubectl.kubernetes.io/last-applied-configuration': '{}'.padEnd(600) } },
      spec: {
        type: 'ClusterIP',
        clusterIP: ip,
        clusterIPs: [ip],
        ipFamilies: ['IPv4'],
        ipFamilyPolicy: 'SingleStack',
        internalTrafficPolicy: 'Cluster',
        selector: { app: `app-${n}` },
        ports: [{ name: 'http', protocol: 'TCP', port: 80, targetPort: 8080 }],
        sessionAffinity: 'None',
      },
      status: { loadBalancer: {} },
    }
  }

  #slice(n: number, endpoints: number): object {
    const endpoint = (i: number) => ({
      addresses: [`10.${64 + (n >> 8)}.${n & 255}.${i + 1}`],
      conditions: { ready: true, serving: true, terminating: false },
      nodeName: `node-${(n * endpointsEach + i) % 1000}`,
      targetRef: {
        kind: 'Pod',
        namespace: 'default',
        name: `app-${n}-${i}`,
        uid: `00000000-0000-4000-8000-${String(n * 100 + i).padStart(12, '0')}`,
      },
      zone: 'zone-a',
    })
    return {
      metadata: {
        ...this.#meta(`service-${n}-abcde`),
        generateName: `service-${n}-`,
        labels: {
          'kubernetes.io/service-name': `service-${n}`,
          'endpointslice.kubernetes.io/managed-by': 'endpointslice-controller.k8s.io',
        },
      },
      addressType: 'IPv4',
      endpoints: Array.from({ length: endpoints }, (_, i) => endpoint(i)),
      ports: [{ name: 'http', protocol: 'TCP', port: 8080 }],
    }
  }

  #nodeObject(): object {
    const addresses = [{ type: 'InternalIP', address: '127.0.0.1' }]
    return { metadata: this.#meta(this.#node), spec: {}, status: { addresses } }
  }

  #meta(name: string): object {
    return {
      name,
      namespace: 'default',
      uid: `uid-${name}`,
      resourceVersion: String(this.#version),
      creationTimestamp: '2026-01-01T00:00:00Z',
    }
  }
}

export function clusterIp(service: number): string {
  return `172.21.${service >> 8}.${service & 255}`
}

function reply(response: ServerResponse, status: number, body: object): void {
  const text = JSON.stringify(body)
  response.writeHead(status, { 'content-type': 'application/json', 'content-length': Buffer.byteLength(text) }).end(text)
}
