// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer, type ServerResponse } from 'node:http'
import { createServer as createTcpServer, type Server } from 'node:net'
import { text } from 'node:stream/consumers'
import { type TestContext, test } from 'node:test'
import { realClock } from '#lib/clock.ts'
import { Connections } from './connections.ts'

async function listening(t: TestContext, server: Server): Promise<string> {
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.after(() => server.close())
  const address = server.address()
  assert.ok(address !== null && typeof address === 'object')
  return `127.0.0.1:${address.port}`
}

const get = (path: string) => ({ method: 'GET', path, headers: {}, body: undefined, signal: new AbortController().signal })

test('a connection serves one request after the other', async t => {
  const server = createServer((_, a) => a.end('x'))
  let made = 0
  server.on('connection', () => made++)
  const connections = new Connections(`http://${await listening(t, server)}`, { rejectUnauthorized: true }, realClock)
  t.after(() => connections.destroy())
  for (let i = 0; i < 3; i++) assert.equal(await text(await connections.send(get('/x'))), 'x')
  assert.equal(made, 1)
})

test('the body of a DELETE belongs to it, not to the next request', async t => {
  const seen: string[] = []
  const server = createServer(async (q, a) => {
    seen.push(`${q.method} ${await text(q)}`)
    a.end()
  })
  const connections = new Connections(`http://${await listening(t, server)}`, { rejectUnauthorized: true }, realClock)
  t.after(() => connections.destroy())
  for (const method of ['DELETE', 'POST', 'GET']) {
    const body = method === 'GET' ? undefined : `{"é":"${method}"}`
    const answer = await connections.send({ ...get('/x'), method, body })
    assert.equal(answer.statusCode, 200)
    await text(answer)
  }
  assert.deepEqual(seen, ['DELETE {"é":"DELETE"}', 'POST {"é":"POST"}', 'GET '])
})

test('retired connections end: idle ones at once, the others with their request', async t => {
  const open = new Set<object>()
  let slow: ServerResponse | undefined
  const server = createServer((q, a) => {
    if (q.url === '/slow') slow = a.writeHead(200)
    if (q.url === '/slow') a.write('be')
    else a.end('x')
  })
  server.on('connection', socket => {
    open.add(socket)
    socket.once('close', () => {
      open.delete(socket)
      server.emit('ended')
    })
  })
  const connections = new Connections(`http://${await listening(t, server)}`, { rejectUnauthorized: true }, realClock)
  t.after(() => connections.destroy())
  const answer = await connections.send(get('/slow'))
  await text(await connections.send(get('/x')))
  assert.equal(open.size, 2)
  const idleEnded = once(server, 'ended')
  connections.retire()
  await idleEnded
  assert.equal(open.size, 1)
  const lastEnded = once(server, 'ended')
  slow?.end('gun')
  assert.equal(await text(answer), 'begun')
  await lastEnded
  assert.equal(open.size, 0)
})

test('a server that says nothing while the connection is made is not waited for', async t => {
  const origin = await listening(
    t,
    createTcpServer(socket => socket.resume()),
  )
  const impatient = { ...realClock, after: (_: number, fn: () => void) => realClock.after(0, fn) }
  const connections = new Connections(`https://${origin}`, { rejectUnauthorized: true }, impatient)
  t.after(() => connections.destroy())
  await assert.rejects(connections.send(get('/x')), { code: 'ETIMEDOUT' })
})
