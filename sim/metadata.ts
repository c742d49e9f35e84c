// SPDX-License-Identifier: Apache-2.0
import { randomUUID } from 'node:crypto'
import { createServer, type IncomingMessage } from 'node:http'
import { type Listening, listening } from './http.ts'
import { lookUp } from './metadata-tree.ts'
import type { Simulator } from './simulator.ts'

export interface MetadataOptions {
  readonly host: string
  readonly port: number
  /** Whether GET needs a token; ECS lets each instance choose, and does not by default. */
  readonly tokens?: 'required' | 'optional'
  /** The instance that callers on the loopback are taken for: for use without a fabric. */
  readonly loopbackAs?: string
}

interface Token {
  readonly instanceId: string
  readonly until: number
}

/**
 * The instance metadata service (ECS user guide, "Access instance metadata"). Who asks is told by the source address: it
 * must be a private address of an ENI in use, or the request is refused with 403. Tokens live in memory.
 */
export async function listenMetadata(simulator: Simulator, options: MetadataOptions): Promise<Listening> {
  const tokens = new Map<string, Token>()
  const server = createServer((request, response) => {
    const reply = replyTo(simulator, options, tokens, request)
    if (reply === 'close') return request.socket.destroy()
    response.writeHead(reply.status, { 'content-type': 'text/plain', 'content-length': Buffer.byteLength(reply.text) })
    return response.end(reply.text)
  })
  return simulator.own(await listening(server, options))
}

type Reply = { readonly status: number; readonly text: string } | 'close'

const refusals = {
  400: 'Bad Request',
  401: 'Unauthorized',
  403: 'Forbidden',
  404: '404 - Not Found',
  405: 'Method Not Allowed',
  503: 'Service Unavailable',
} as const

const refuse = (status: keyof typeof refusals): Reply => ({ status, text: refusals[status] })

function replyTo(simulator: Simulator, options: MetadataOptions, tokens: Map<string, Token>, request: IncomingMessage): Reply {
  const { store, clock, faults } = simulator.machinery
  store.advance()
  const outage = faults.hit('metadata', () => undefined).find(spec => spec.kind === 'metadata-outage')
  if (outage?.kind === 'metadata-outage') return outage.close === true ? 'close' : refuse(503)
  const instanceId = identify(simulator, options, request.socket.remoteAddress ?? '')
  if (instanceId === undefined) return refuse(403)
  const path = new URL(request.url ?? '/', 'http://sim').pathname
  if (request.method === 'PUT' && path === '/latest/api/token') return grant(tokens, instanceId, clock.wall(), request)
  if (request.method !== 'GET') return refuse(405)
  const token = request.headers['x-aliyun-ecs-metadata-token']
  if (!allowed(tokens.get(String(token)), token !== undefined, instanceId, options, clock.wall())) return refuse(401)
  const root = '/latest/meta-data/'
  const text = path.startsWith(root) ? lookUp(store.state, instanceId, path.slice(root.length), clock.wall()) : undefined
  return text === undefined ? refuse(404) : { status: 200, text }
}

/** The running instance whose address the request comes from, as the model knows it now (not lagging). */
function identify(simulator: Simulator, { loopbackAs }: MetadataOptions, remote: string): string | undefined {
  const { state } = simulator.store
  const address = remote.replace(/^::ffff:/, '')
  const loopback = address === '::1' || address.startsWith('127.')
  const eni = state.list('eni').find(one => one.status === 'InUse' && (one.ipv4.includes(address) || one.ipv6.includes(address)))
  const named = state.list('instance').find(one => one.id === loopbackAs || one.name === loopbackAs)
  const instance = loopback ? named : state.get('instance', eni?.attachment?.instanceId ?? '')
  return instance?.status === 'Running' ? instance.id : undefined
}

/** Hands out a token for 1 to 21600 s; 400 when the header is missing or out of range. */
function grant(tokens: Map<string, Token>, instanceId: string, now: number, request: IncomingMessage): Reply {
  const seconds = Number(request.headers['x-aliyun-ecs-metadata-token-ttl-seconds'] ?? Number.NaN)
  if (!(seconds >= 1 && seconds <= 21_600)) return refuse(400)
  for (const [old, { until }] of tokens) if (until <= now) tokens.delete(old)
  const token = randomUUID()
  tokens.set(token, { instanceId, until: now + seconds * 1000 })
  return { status: 200, text: token }
}

function allowed(token: Token | undefined, given: boolean, instanceId: string, options: MetadataOptions, now: number): boolean {
  if (!given) return options.tokens !== 'required'
  return token !== undefined && token.instanceId === instanceId && token.until > now
}
