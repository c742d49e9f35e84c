// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { createServer as createTlsServer } from 'node:https'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { realClock } from '#lib/clock.ts'
import type { KubeConfig } from './config.ts'
import { Transport } from './transport.ts'

type Handle = (q: IncomingMessage, a: ServerResponse) => void

/** Origins of servers on loopback that answer by `handles`, in this order. */
async function origins(t: TestContext, ...handles: readonly Handle[]): Promise<readonly string[]> {
  const servers = await Promise.all(
    handles.map(async handle => {
      const server = createServer(handle).listen(0, '127.0.0.1')
      await once(server, 'listening')
      return server
    }),
  )
  const found = servers.map(server => {
    const address = server.address()
    assert.ok(address !== null && typeof address === 'object')
    return `http://127.0.0.1:${address.port}`
  })
  t.after(() => {
    for (const server of servers) server.close()
  })
  return found
}

/** A transport to them. */
async function serve(t: TestContext, ...handles: readonly Handle[]): Promise<Transport> {
  return transportTo(t, { servers: await origins(t, ...handles) })
}

function transportTo(t: TestContext, config: Pick<KubeConfig, 'servers' | 'remembered'>): Transport {
  const transport = new Transport({ ...config, ca: [] }, realClock)
  t.after(() => transport.close())
  return transport
}

function answer(a: ServerResponse, status: number, body: unknown, headers: Readonly<Record<string, string>> = {}): void {
  a.writeHead(status, { 'content-type': 'application/json', ...headers }).end(JSON.stringify(body))
}

test('each status has its code', async t => {
  const cases: readonly (readonly [number, string, string])[] = [
    [400, 'BadRequest', 'invalid'],
    [401, 'Unauthorized', 'unauthorized'],
    [403, 'Forbidden', 'forbidden'],
    [404, 'NotFound', 'not-found'],
    [409, 'AlreadyExists', 'already-exists'],
    [409, 'Conflict', 'conflict'],
    [422, 'Invalid', 'invalid'],
    [429, 'TooManyRequests', 'throttled'],
    [500, 'InternalError', 'unavailable'],
    [503, 'ServiceUnavailable', 'unavailable'],
  ]
  let next = 0
  const transport = await serve(t, (_, a) => {
    const [status, reason] = cases[next] ?? [500, '']
    answer(a, status, { kind: 'Status', reason, message: 'because' })
  })
  for (const [status, reason, code] of cases) {
    const message = `GET /x: ${status} ${reason}: because`
    await assert.rejects(transport.json({ method: 'GET', path: '/x?limit=1' }, 60_000), { code, message })
    next++
  }
})

test('a throttled request is sent again after the time that the server names', async t => {
  let asked = 0
  const transport = await serve(t, (_, a) => {
    asked++
    if (asked < 3) answer(a, 429, { reason: 'TooManyRequests' }, { 'retry-after': '0' })
    else answer(a, 200, { ok: true })
  })
  assert.deepEqual(await transport.json({ method: 'POST', path: '/x', body: {} }, 60_000), { ok: true })
  assert.equal(asked, 3)
})

test('it is not, when that time lies after the deadline', async t => {
  const transport = await serve(t, (_, a) => answer(a, 429, {}, { 'retry-after': '3600' }))
  await assert.rejects(transport.json({ method: 'GET', path: '/x' }, 60_000), { code: 'throttled' })
})

test('the deadline ends a request that hangs, before or inside the answer', async t => {
  const transport = await serve(t, (q, a) => {
    if (q.url === '/half') a.writeHead(200).write('{"a":')
  })
  for (const path of ['/never', '/half'])
    await assert.rejects(transport.json({ method: 'GET', path }, 200), {
      code: 'unavailable',
      message: `GET ${path}: no answer within 200 ms`,
    })
})

test('an answer that is no JSON is unavailable: some proxy spoke', async t => {
  const transport = await serve(t, (_, a) => a.writeHead(200).end('<html>'))
  await assert.rejects(transport.json({ method: 'GET', path: '/x' }, 60_000), { code: 'unavailable', message: /not valid JSON/ })
})

for (const path of ['/never', '/half']) {
  test(`a server that takes requests and does not answer (${path}) is left for the next one, by however many at once`, async t => {
    const hangs: Handle = (_, a) => path === '/half' && a.writeHead(200).write('{"a":')
    const transport = await serve(t, hangs, (_, a) => answer(a, 200, { ok: true }))
    const all = Array.from({ length: 4 }, () => transport.json({ method: 'POST', path, body: {} }, 200))
    for (const r of await Promise.allSettled(all)) assert.equal(r.status, 'rejected')
    assert.deepEqual(await transport.json({ method: 'POST', path, body: {} }, 60_000), { ok: true })
  })
}

test('API servers that moved are found where they are remembered by then, and found again', async t => {
  const nobody = 'http://127.0.0.1:1'
  const [first = '', second = ''] = await origins(
    t,
    (_, a) => answer(a, 200, { at: 'first' }),
    (_, a) => answer(a, 200, { at: 'second' }),
  )
  let known: readonly string[] = [nobody]
  const transport = transportTo(t, { servers: [nobody], remembered: () => known })
  const ask = () => transport.json({ method: 'POST', path: '/x', body: {} }, 60_000)
  await assert.rejects(ask(), { code: 'unavailable', message: /ECONNREFUSED/ })
  known = [first]
  assert.deepEqual(await ask(), { at: 'first' })
  known = [second]
  assert.deepEqual(await ask(), { at: 'first' }, 'one that answers is not left')
  const moved = transportTo(t, { servers: [nobody], remembered: () => known })
  assert.deepEqual(await moved.json({ method: 'POST', path: '/x', body: {} }, 60_000), { at: 'second' })
})

test('a machine that has got the address of an API server, and is none, is left for the next one', async t => {
  const dir = mkdtempSync(join(tmpdir(), 'terway-transport-'))
  t.after(() => rmSync(dir, { recursive: true }))
  const file = (name: string) => join(dir, name)
  const made = ['-keyout', file('key'), '-out', file('crt'), '-subj', '/CN=other', '-days', '1']
  execFileSync('openssl', ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', ...made], {
    stdio: 'pipe',
  })
  const other = createTlsServer({ key: readFileSync(file('key')), cert: readFileSync(file('crt')) }, (_, a) => answer(a, 200, {}))
  await once(other.listen(0, '127.0.0.1'), 'listening')
  t.after(() => other.close())
  const address = other.address()
  assert.ok(address !== null && typeof address === 'object')
  const right = await origins(t, (_, a) => answer(a, 200, { ok: true }))
  const transport = transportTo(t, { servers: [`https://127.0.0.1:${address.port}`, ...right] })
  assert.deepEqual(await transport.json({ method: 'POST', path: '/x', body: {} }, 60_000), { ok: true })
})
