// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { mkdtemp, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { Gauge, Registry } from 'prom-client'
import { messageOf } from '#lib/errors.ts'
import { silent } from '#lib/log.ts'
import { getOverSocket } from '#rpc/http/get.ts'
import { metricsRoute, probeRoute } from '#rpc/http/routes.ts'
import { serveHttp } from '#rpc/http/serve.ts'

test('a unix socket: 0600, replaces a stale file, answers, and goes with the server', async t => {
  const dir = await mkdtemp(join(tmpdir(), 'terway-http-'))
  t.after(() => rm(dir, { recursive: true }))
  const path = join(dir, 'debug.socket')
  await writeFile(path, 'stale')
  const server = await serveHttp(`unix://${path}`, { '/debug/state': () => ({ status: 200, body: { node: 'n' } }) }, silent)
  assert.equal((await stat(path)).mode & 0o777, 0o600)
  assert.deepEqual(JSON.parse((await getOverSocket(path, '/debug/state')).body), { node: 'n' })
  const unknown = await getOverSocket(path, '/secret')
  assert.equal(unknown.status, 404)
  assert.match(unknown.body, /known paths: \/debug\/state/)
  await server.close()
  await assert.rejects(getOverSocket(path, '/debug/state'), { code: 'daemon-unreachable' })
})

test('probes say 503 and what is missing; metrics are refreshed at each scrape', async t => {
  let state: { ok: boolean; reason?: string } = { ok: false, reason: 'Node CR not seen' }
  const registry = new Registry()
  const gauge = new Gauge({ name: 'idle', help: 'h', registers: [registry] })
  let idle = 1
  const server = await serveHttp(
    '127.0.0.1:0',
    {
      '/readyz': probeRoute(() => state),
      '/metrics': metricsRoute(registry, () => gauge.set(idle++)),
      '/broken': () => Promise.reject(new Error('no')),
    },
    silent,
  )
  t.after(() => server.close())
  const get = (path: string, method = 'GET') => fetch(`http://127.0.0.1:${server.port}${path}`, { method })
  const before = await get('/readyz')
  assert.equal(before.status, 503)
  assert.equal(await before.text(), 'Node CR not seen\n')
  state = { ok: true }
  assert.equal((await get('/readyz')).status, 200)
  assert.match(await (await get('/metrics')).text(), /^idle 1$/m)
  assert.match(await (await get('/metrics')).text(), /^idle 2$/m)
  assert.equal((await get('/broken')).status, 500)
  assert.equal((await get('/readyz', 'POST')).status, 405)
})

test('one answer on every path, with headers of its own', async t => {
  const server = await serveHttp('127.0.0.1:0', () => ({ status: 503, headers: { 'x-weight': '2' }, body: {} }), silent)
  t.after(() => server.close())
  for (const path of ['/', '/any']) {
    const answer = await fetch(`http://127.0.0.1:${server.port}${path}`)
    assert.deepEqual([answer.status, answer.headers.get('x-weight'), await answer.json()], [503, '2', {}])
  }
})

test('an address that is neither a socket nor host:port is refused by name', async () => {
  await assert.rejects(serveHttp('127.0.0.1', {}, silent), (e: unknown) => /"127.0.0.1" is neither unix/.test(messageOf(e)))
  await assert.rejects(serveHttp('127.0.0.1:70000', {}, silent), { code: 'http-listen' })
})
