// SPDX-License-Identifier: Apache-2.0
import { randomUUID } from 'node:crypto'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { algorithm, claimOfAcs3 } from './auth/acs3.ts'
import { Nonces } from './auth/nonces.ts'
import type { WireRequest } from './auth/request.ts'
import { claimOfV1 } from './auth/v1.ts'
import { verify } from './auth/verify.ts'
import { type Call, findAction, perform, ReplyLost } from './call.ts'
import { encode, type Format } from './encode.ts'
import { CloudFault, missing } from './model/errors.ts'
import type { Simulator } from './simulator.ts'

/** A server that runs. */
export interface Listening {
  readonly host: string
  readonly port: number
  close(): Promise<void>
}

/** Largest request body that is read. */
const bodyLimit = 1 << 20

/** Serves the RPC-style OpenAPI of ECS and VPC: the version tells which. */
export async function listenApi(simulator: Simulator, address: { readonly host: string; readonly port: number }): Promise<Listening> {
  const nonces = new Nonces()
  const server = createServer({ keepAliveTimeout: 60_000 }, (request, response) => {
    answer(simulator, nonces, request, response).catch(error => {
      if (!(error instanceof ReplyLost)) console.error(`sim: ${request.method} failed: ${error instanceof Error ? error.message : error}`)
      request.socket.destroy()
    })
  })
  return listening(server, address)
}

/** Starts a server and gives the address it really has. */
export async function listening(
  server: Server,
  address: { readonly host: string; readonly port: number } | { readonly path: string },
): Promise<Listening> {
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen(address, resolve)
  })
  const bound = server.address() as AddressInfo | string
  const { address: host, port } = typeof bound === 'string' ? { address: bound, port: 0 } : bound
  const close = () =>
    new Promise<void>(resolve => {
      server.close(() => resolve())
      server.closeAllConnections()
    })
  return { host, port, close }
}

async function answer(simulator: Simulator, nonces: Nonces, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const { clock, faults, store } = simulator.machinery
  const wire = await read(request)
  const requestId = randomUUID().toUpperCase()
  const now = () => clock.wall() + faults.skew
  const format = formatOf(wire)
  try {
    const call = identify(wire)
    findAction(call.action, call.version)
    const claim = isAcs3(wire) ? claimOfAcs3(wire) : claimOfV1(wire)
    const caller = verify(store.state, nonces, claim, now())
    const body = await perform(simulator.machinery, { ...call, caller })
    send(response, 200, format, `${call.action}Response`, { RequestId: requestId, ...body }, requestId, now())
  } catch (error) {
    if (!(error instanceof CloudFault)) throw error
    const HostId = request.headers.host ?? ''
    const Recommend = `https://api.alibabacloud.com/troubleshoot?q=${error.code}&product=Ecs&requestId=${requestId}`
    const body = { RequestId: requestId, HostId, Code: error.code, Message: error.message, Recommend }
    send(response, error.status, format, 'Error', body, requestId, now())
  }
}

/** By the Authorization header alone: SDKs send x-acs-action with version 1 signatures too. */
function isAcs3(wire: WireRequest): boolean {
  return wire.headers.authorization?.startsWith(algorithm) === true
}

/** Action and version travel as headers (version 3 signatures) or as parameters. */
function identify(wire: WireRequest): Omit<Call, 'caller'> {
  const params = new Map([...wire.query, ...wire.form])
  const action = wire.headers['x-acs-action'] ?? params.get('Action')
  const version = wire.headers['x-acs-version'] ?? params.get('Version')
  if (action === undefined || action === '') throw missing('Action')
  if (version === undefined || version === '') throw missing('Version')
  return { action, version, params }
}

/** The Format parameter; else JSON for version 3 signatures, whose SDKs ask by Accept, and XML otherwise (RPC default). */
function formatOf(wire: WireRequest): Format {
  const format = new Map([...wire.query, ...wire.form]).get('Format')?.toLowerCase()
  if (format === 'json' || format === 'xml') return format
  return isAcs3(wire) && wire.headers.accept?.includes('xml') !== true ? 'json' : 'xml'
}

async function read(request: IncomingMessage): Promise<WireRequest> {
  const chunks: Buffer[] = []
  let size = 0
  for await (const chunk of request as AsyncIterable<Buffer>) {
    size += chunk.length
    if (size > bodyLimit) throw new Error(`request body is larger than ${bodyLimit} bytes`)
    chunks.push(chunk)
  }
  const body = Buffer.concat(chunks)
  const url = new URL(request.url ?? '/', 'http://sim')
  const form = request.headers['content-type']?.startsWith('application/x-www-form-urlencoded') === true
  return {
    method: request.method ?? 'GET',
    path: url.pathname,
    query: [...url.searchParams],
    form: form ? [...new URLSearchParams(body.toString('utf8'))] : [],
    headers: Object.fromEntries(
      Object.entries(request.headers).map(([name, value]) => [name, Array.isArray(value) ? value.join(',') : value]),
    ),
    body,
  }
}

function send(response: ServerResponse, status: number, format: Format, root: string, body: object, requestId: string, now: number): void {
  const text = encode(format, root, body)
  response.writeHead(status, {
    'content-type': format === 'json' ? 'application/json;charset=utf-8' : 'text/xml;charset=utf-8',
    'content-length': Buffer.byteLength(text),
    date: new Date(now).toUTCString(),
    'x-acs-request-id': requestId,
  })
  response.end(text)
}
