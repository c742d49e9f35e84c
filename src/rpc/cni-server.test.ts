// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, statSync } from 'node:fs'
import { connect, createServer, type Server, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, describe, test } from 'node:test'
import { silent } from '#lib/log.ts'
import { cniError } from '#rpc/cni-error.ts'
import type { CniRequest } from '#rpc/cni-message.ts'
import { type CniHandler, serveCni } from '#rpc/cni-server.ts'
import { callCni, conf, podArgs } from '../../test/support/cni-client.ts'
import { compileShim, type Shim } from '../../test/support/shim.ts'

const dir = mkdtempSync(join(tmpdir(), 'terway-cni-'))
const shim = compileShim(['TERWAY_TIMEOUT_SECONDS=120', 'TERWAY_STATUS_GRACE_SECONDS=0'])
after(() => {
  shim[Symbol.dispose]()
  rmSync(dir, { recursive: true })
})

let sockets = 0
const newPath = () => join(dir, `${sockets++}.socket`)
const add = { command: 'ADD', containerId: 'c1', netns: '/run/netns/x', args: podArgs('default', 'web', 'u1') }

async function daemon(handler: CniHandler): Promise<{ path: string; answered: [string, number][] } & AsyncDisposable> {
  const path = newPath()
  const answered: [string, number][] = []
  const server = await serveCni({
    path,
    handler,
    log: silent,
    now: () => performance.now(),
    answered: (verb, code) => answered.push([verb, code]),
  })
  return { path, answered, [Symbol.asyncDispose]: () => new Promise(resolve => server.close(() => resolve())) }
}

/** Something on the socket that is not a well-behaved daemon. */
function oddServer(behaviour: (socket: Socket) => void): Promise<{ path: string; server: Server }> {
  const path = newPath()
  const server = createServer({ allowHalfOpen: true }, socket => {
    socket.on('error', () => {})
    behaviour(socket)
  })
  return new Promise(resolve => server.listen(path, () => resolve({ path, server })))
}

describe('shim and server', () => {
  test('a request arrives as it was made, its result and exit code go back', async () => {
    let seen: CniRequest | undefined
    await using d = await daemon(async request => {
      seen = request
      return { cniVersion: '1.1.0', ips: [] }
    })
    const reply = await shim.run(d.path, add)
    assert.deepEqual(reply, { exit: 0, body: { cniVersion: '1.1.0', ips: [] } })
    assert.ok(seen?.verb === 'ADD')
    assert.deepEqual(seen.pod, { namespace: 'default', name: 'web', uid: 'u1' })
    assert.equal(statSync(d.path).mode & 0o777, 0o600)
  })

  test('a verb without result prints nothing', async () => {
    await using d = await daemon(async () => undefined)
    assert.deepEqual(await shim.run(d.path, { command: 'DEL', containerId: 'c1' }), { exit: 0, body: undefined })
  })

  test('errors carry their number and the version of the configuration', async () => {
    await using d = await daemon(async () => {
      throw cniError('try-again', 'no address')
    })
    assert.deepEqual(await shim.run(d.path, { ...add, config: { ...conf, cniVersion: '0.4.0' } }), {
      exit: 1,
      body: { cniVersion: '0.4.0', code: 11, msg: 'no address' },
    })
    const malformed = await shim.run(d.path, { ...add, config: '{"cniVersion":"1.0.0",' })
    assert.equal(malformed.body?.code, 6)
    assert.equal((await shim.run(d.path, { ...add, ifName: 'sixteen-letters-' })).body?.code, 4)
    assert.deepEqual(d.answered, [
      ['ADD', 11],
      ['ADD', 6],
      ['ADD', 4],
    ])
  })

  test('a configuration of nearly 1 MiB passes whole', async () => {
    await using d = await daemon(async request => ({ name: request.config.name.length }))
    const reply = await shim.run(d.path, { ...add, config: { ...conf, name: 'n'.repeat(1_000_000) } })
    assert.deepEqual(reply.body, { name: 1_000_000 })
  })

  test('sixty shims at once are all answered', async () => {
    await using d = await daemon(async request => ({ id: 'containerId' in request ? request.containerId : '' }))
    const ids = Array.from({ length: 60 }, (_, i) => `c${i}`)
    const replies = await Promise.all(ids.map(containerId => shim.run(d.path, { ...add, containerId })))
    assert.deepEqual(
      replies.map(r => r.body),
      ids.map(id => ({ id })),
    )
  })

  test('a client that sends no proper frame gets an error, not silence', async () => {
    await using d = await daemon(async () => undefined)
    const text = await new Promise<string>((resolve, reject) => {
      const socket = connect(d.path)
      let got = ''
      socket.on('error', reject)
      socket.on('data', chunk => {
        got += chunk
      })
      socket.on('end', () => resolve(got))
      socket.end('rubbish')
    })
    assert.match(text, /^1\n\{"cniVersion":"1.0.0","code":6/)
  })

  test('a stale socket file is replaced', async () => {
    const path = newPath()
    const options = { path, handler: async () => undefined, log: silent, now: () => 0 }
    const first = await serveCni(options)
    const second = await serveCni(options)
    assert.equal((await callCni(path, { command: 'STATUS' })).exit, 0)
    first.close()
    second.close()
  })
})

describe('the shim alone', () => {
  test('without a daemon: 11 for what can be tried again, 50 for STATUS, with the version of the configuration', async () => {
    for (const [command, code] of [
      ['ADD', 11],
      ['DEL', 11],
      ['CHECK', 11],
      ['GC', 11],
      ['STATUS', 50],
    ] as const) {
      const reply = await shim.run(join(dir, 'absent'), { ...add, command, config: { ...conf, cniVersion: '0.3.1' } })
      assert.equal(reply.exit, 1)
      assert.equal(reply.body?.code, code)
      assert.equal(reply.body?.cniVersion, '0.3.1')
      assert.match(reply.body?.msg ?? '', /terwayd: not reachable: No such file/)
    }
  })

  test('STATUS waits for a daemon that restarts, and not where none has been since the boot', async () => {
    // Longer than the test may take.
    using patient = compileShim(['TERWAY_STATUS_GRACE_SECONDS=3600'])
    const path = newPath()
    const asked = patient.run(path, { command: 'STATUS' })
    assert.equal((await patient.run(path, add)).body?.code, 11, 'others are told at once')
    const server = await serveCni({ path, handler: async () => undefined, log: silent, now: () => 0 })
    assert.deepEqual(await asked, { exit: 0, body: undefined })
    server.close()
    assert.equal((await patient.run(join(dir, 'no', 'directory'), { command: 'STATUS' })).body?.code, 50)
  })

  test('VERSION needs no daemon', async () => {
    const reply = await shim.run(join(dir, 'absent'), { command: 'VERSION', config: { cniVersion: '0.4.0' } })
    assert.deepEqual(reply, { exit: 0, body: { cniVersion: '0.4.0', supportedVersions: ['0.3.0', '0.3.1', '0.4.0', '1.0.0', '1.1.0'] } })
  })

  const version = async (config: string) => (await shim.run(join(dir, 'absent'), { ...add, config })).body?.cniVersion
  for (const [what, config, expected] of [
    ['in any place', '{"a":[{"cniVersion":"0.1.0"}],"b":"\\"cniVersion\\":\\"x\\"","cniVersion" :\n "1.1.0"}', '1.1.0'],
    ['not of a nested result', '{"prevResult":{"cniVersion":"0.2.0"}}', '1.0.0'],
    ['not one that would break the error', '{"cniVersion":"1.\\"0"}', '1.0.0'],
    ['not a long one', `{"cniVersion":"${'1'.repeat(64)}"}`, '1.0.0'],
    ['not of a cut text', '{"cniVersion":"1.1', '1.0.0'],
    ['not of an escape at the end', '{"a":"\\', '1.0.0'],
    ['not of nothing', '', '1.0.0'],
    ['not a number', '{"cniVersion":1}', '1.0.0'],
  ] as const) {
    test(`the version of an error: ${what}`, async () => assert.equal(await version(config), expected))
  }

  test('too much input is refused by name', async () => {
    const path = join(dir, 'absent')
    assert.equal((await shim.run(path, { ...add, config: 'x'.repeat(1_200_000) })).body?.code, 6)
    assert.equal((await shim.run(path, { ...add, args: 'x'.repeat(70_000) })).body?.code, 4)
  })

  for (const [what, behaviour, message] of [
    ['an answer that is cut short', (s: Socket) => s.end('0\n{"cniVersion":"1.0.0"'), /incomplete/],
    ['an answer without an exit code', (s: Socket) => s.end('{"cniVersion":"1.0.0"}\n'), /incomplete/],
    ['no answer', (s: Socket) => s.end(), /without an answer/],
    ['a daemon that dies', (s: Socket) => s.destroy(), /terwayd: /],
  ] as const) {
    test(`${what} is no success`, () => fails(shim, behaviour, message))
  }

  test('a daemon that hangs is no success', async () => {
    using hasty = compileShim(['TERWAY_TIMEOUT_SECONDS=1'])
    await fails(hasty, () => {}, /receive the answer: timed out/)
  })

  async function fails(of: Shim, behaviour: (socket: Socket) => void, message: RegExp): Promise<void> {
    const { path, server } = await oddServer(behaviour)
    const reply = await of.run(path, add)
    server.close()
    assert.equal(reply.exit, 1)
    assert.equal(reply.body?.code, 11)
    assert.match(reply.body?.msg ?? '', message)
  }

  test('an answer that comes in pieces is put together', async () => {
    const { path, server } = await oddServer(socket => {
      const pieces = ['0', '\n{"a"', ':1}', '\n']
      const send = () => {
        const piece = pieces.shift()
        if (piece === undefined) socket.end()
        else socket.write(piece, () => setImmediate(send))
      }
      socket.resume().on('end', send)
    })
    assert.deepEqual(await shim.run(path, add), { exit: 0, body: { a: 1 } })
    server.close()
  })
})
