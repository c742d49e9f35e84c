// SPDX-License-Identifier: Apache-2.0
import { chmodSync, rmSync } from 'node:fs'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { connect } from 'node:net'
import { type Static, Type } from 'typebox'
import { Compile } from 'typebox/compile'
import { parseFault } from './fault.ts'
import { type Listening, listening } from './http.ts'
import { CloudFault } from './model/errors.ts'
import type { Simulator } from './simulator.ts'

const newInstance = Type.Object(
  {
    name: Type.String({ minLength: 1 }),
    type: Type.String(),
    vSwitchId: Type.String(),
    securityGroupIds: Type.Array(Type.String(), { minItems: 1 }),
    hostName: Type.Optional(Type.String()),
    role: Type.Optional(Type.String()),
    primaryIp: Type.Optional(Type.String()),
    ipv6Count: Type.Optional(Type.Integer({ minimum: 0 })),
    tags: Type.Optional(Type.Record(Type.String(), Type.String())),
  },
  { additionalProperties: false },
)
const isNewInstance = Compile(newInstance)

/** What the operator may ask, by method and path; `:id` stands for one part. Each returns the reply's JSON. */
const routes: Readonly<Record<string, (simulator: Simulator, id: string, body: unknown) => unknown>> = {
  'GET /instances': simulator => simulator.instances(),
  'POST /instances': (simulator, _, body) => simulator.createInstance(parseInstance(body)),
  'DELETE /instances/:id': (simulator, id) => simulator.deleteInstance(id),
  'POST /instances/:id/stop': (simulator, id) => simulator.stopInstance(id),
  'POST /instances/:id/start': (simulator, id) => simulator.startInstance(id),
  'GET /faults': simulator => simulator.faults(),
  'POST /faults': (simulator, _, body) => ({ id: simulator.addFault(parseFault(body)) }),
  'DELETE /faults': simulator => ({ cleared: simulator.clearFaults() }),
  'DELETE /faults/:id': (simulator, id) => ({ cleared: simulator.clearFaults(id) }),
  'POST /enis/:id/vanish': (simulator, id) => simulator.vanishEni(id),
  'POST /vswitches/:id/exhaust': (simulator, id) => simulator.exhaustVSwitch(id, true),
  'POST /vswitches/:id/restore': (simulator, id) => simulator.exhaustVSwitch(id, false),
  'GET /view': simulator => simulator.view(),
  'GET /state': simulator => simulator.dump(),
}

function parseInstance(body: unknown): Static<typeof newInstance> {
  if (isNewInstance.Check(body)) return body
  const problems = isNewInstance.Errors(body).map(error => `${error.instancePath.slice(1) || 'body'} ${error.message}`)
  throw new Error(`no instance: ${problems.join('; ')}`)
}

/** Throws when a simulator answers on this socket: two of them on one state directory would spoil its journal. */
export async function requireNobody(path: string): Promise<void> {
  const taken = await new Promise<boolean>(resolve => {
    const socket = connect(path, () => {
      socket.destroy()
      resolve(true)
    })
    socket.once('error', () => resolve(false))
  })
  if (taken) throw new Error(`another simulator runs on ${path}: stop it, or choose another --state`)
}

/** Serves the operator on a unix socket that only its owner may open. `GET /view?stream` is a line of JSON per change. */
export async function listenAdmin(simulator: Simulator, path: string): Promise<Listening> {
  rmSync(path, { force: true })
  const server = createServer((request, response) => {
    answer(simulator, request, response).catch(error => {
      const status = error instanceof CloudFault ? error.status : 400
      send(response, status, {
        code: error instanceof CloudFault ? error.code : 'BadRequest',
        message: error instanceof Error ? error.message : String(error),
      })
    })
  })
  const running = await listening(server, { path })
  chmodSync(path, 0o600)
  return simulator.own(running)
}

async function answer(simulator: Simulator, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const url = new URL(request.url ?? '/', 'http://sim')
  if (url.pathname === '/view' && url.searchParams.has('stream')) return stream(simulator, response)
  const [, collection = '', id = '', verb] = url.pathname.split('/')
  const pattern = [collection, ...(id === '' ? [] : [':id']), ...(verb === undefined ? [] : [verb])].join('/')
  const route = routes[`${request.method} /${pattern}`]
  if (route === undefined) {
    send(response, 404, { code: 'NotFound', message: `there is: ${Object.keys(routes).join(', ')}` })
    return
  }
  send(response, 200, route(simulator, decodeURIComponent(id), await json(request)) ?? {})
}

function stream(simulator: Simulator, response: ServerResponse): void {
  response.writeHead(200, { 'content-type': 'application/x-ndjson' })
  response.write(`${JSON.stringify(simulator.view())}\n`)
  const stop = simulator.onView(view => response.write(`${JSON.stringify(view)}\n`))
  response.once('close', stop)
}

async function json(request: IncomingMessage): Promise<unknown> {
  const chunks: Buffer[] = []
  for await (const chunk of request as AsyncIterable<Buffer>) chunks.push(chunk)
  const text = Buffer.concat(chunks).toString('utf8')
  return text === '' ? undefined : JSON.parse(text)
}

function send(response: ServerResponse, status: number, body: unknown): void {
  const text = `${JSON.stringify(body)}\n`
  response.writeHead(status, { 'content-type': 'application/json', 'content-length': Buffer.byteLength(text) })
  response.end(text)
}
