// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { execFileSync, spawn, spawnSync } from 'node:child_process'
import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { connect } from 'node:net'
import { hostname, tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { freePort } from '../../test/support/free-port.ts'
import { until } from '../../test/support/until.ts'

/** The lab's C programs, compiled as the images have them. */
const directory = mkdtempSync(join(tmpdir(), 'terway-app-'))
const compile = (name: string) => {
  const source = fileURLToPath(new URL(`${name}.c`, import.meta.url))
  const flags = ['-O2', '-static', '-Wall', '-Wextra', '-Werror', '-std=gnu11']
  execFileSync('musl-gcc', [...flags, '-o', join(directory, name), source])
}

before(() => {
  compile('app')
  compile('pause')
  compile('heartbeat')
})
after(() => rmSync(directory, { recursive: true, force: true }))

/** How long nobody may come before the application, told to stop, shuts its door (QUIET_MS), ms. */
const quiet = 200

async function refused(port: number): Promise<void> {
  await until(async () => {
    const socket = connect(port, '127.0.0.1')
    const failed = await once(socket, 'connect').then(
      () => false,
      () => true,
    )
    socket.destroy()
    if (!failed) await delay(quiet + 100)
    return failed
  }, 'it listens no more')
}

async function fetchText(url: string): Promise<string> {
  let text: string | undefined
  await until(async () => {
    text = await fetch(url).then(
      answer => answer.text(),
      () => undefined,
    )
    return text !== undefined
  }, url)
  return text ?? ''
}

test('the application tells a client of either family its address, also while another client stalls, and stops at once', async () => {
  const port = await freePort()
  const app = spawn(join(directory, 'app'), { env: { PORT: String(port) }, stdio: 'ignore' })
  try {
    assert.equal(await fetchText(`http://127.0.0.1:${port}/any`), `client=127.0.0.1\npod=${hostname()}\n`)
    assert.equal(await fetchText(`http://[::1]:${port}/any`), `client=::1\npod=${hostname()}\n`)
    const stalled = connect(port, '127.0.0.1')
    await once(stalled, 'connect')
    assert.match(await fetchText(`http://127.0.0.1:${port}/`), /^client=127\.0\.0\.1\n/)
    stalled.destroy()
  } finally {
    app.kill('SIGTERM')
  }
  const [code] = await once(app, 'exit')
  assert.equal(code, 0)
})

test('a client of the application tells an answer, a refusal and silence apart, of TCP and of UDP', async () => {
  const [port, closed] = [await freePort(), await freePort()]
  const app = spawn(join(directory, 'app'), { env: { PORT: String(port) }, stdio: 'ignore' })
  const silent = createSocket('udp4').bind(0, '127.0.0.1')
  try {
    await once(silent, 'listening')
    await fetchText(`http://127.0.0.1:${port}/`)
    const targets = [
      `tcp 127.0.0.1 ${port}`,
      `tcp 127.0.0.1 ${closed}`,
      `udp 127.0.0.1 ${closed}`,
      `udp 127.0.0.1 ${silent.address().port}`,
    ]
    const lines = execFileSync(join(directory, 'app'), ['ask', ...targets], { encoding: 'utf8' })
    const told = new Map(lines.split('\n').map(line => [line.split('|')[0], line.split('|')[1]]))
    assert.deepEqual(
      targets.map(target => told.get(target)?.trim()),
      [`client=127.0.0.1 pod=${hostname()}`, 'refused', 'refused', ''],
    )
  } finally {
    silent.close()
    app.kill('SIGKILL')
  }
})

test('an application that is told to stop answers first whom it has let in', async () => {
  const port = await freePort()
  const app = spawn(join(directory, 'app'), { env: { PORT: String(port) }, stdio: 'ignore' })
  const gone = once(app, 'exit')
  await fetchText(`http://127.0.0.1:${port}/`)
  const client = connect(port, '127.0.0.1')
  await once(client, 'connect')
  app.kill('SIGTERM')
  await refused(port)
  const answer = once(client, 'data')
  client.end('GET / HTTP/1.1\r\n\r\n')
  assert.match(String((await answer)[0]), /client=127\.0\.0\.1\n/)
  assert.deepEqual(await gone, [0, null])
})

test('the application answers datagrams as well, and asks several targets of both kinds at once', async () => {
  const [port, closed] = [await freePort(), await freePort()]
  const app = spawn(join(directory, 'app'), { env: { PORT: String(port) }, stdio: 'ignore' })
  try {
    await fetchText(`http://127.0.0.1:${port}/`)
    const targets = [`tcp 127.0.0.1 ${port}`, `udp 127.0.0.1 ${port}`, `tcp ::1 ${port}`, `udp ::1 ${port}`, `tcp 127.0.0.1 ${closed}`]
    const lines = execFileSync(join(directory, 'app'), ['ask', ...targets], { encoding: 'utf8' }).split('\n')
    const reply = (client: string) => `client=${client} pod=${hostname()} `
    const wanted = targets.map(t => `${t}|${t.endsWith(` ${closed}`) ? 'refused' : reply(t.split(' ')[1] ?? '')}`)
    assert.deepEqual(lines.toSorted(), ['', ...wanted].toSorted())
  } finally {
    app.kill('SIGTERM')
  }
})

test('the application refuses a port that is none, by name', async () => {
  const app = spawn(join(directory, 'app'), { env: { PORT: 'http' }, stdio: ['ignore', 'ignore', 'pipe'] })
  const [[code], [text]] = await Promise.all([once(app, 'exit'), once(app.stderr, 'data')])
  assert.equal(code, 2)
  assert.equal(String(text), 'PORT=http is no port\n')
})

/** A program that waits for a signal is asleep, and has its own name only after exec. */
const waits = (pid: number, name: string) =>
  new RegExp(`^Name:\\s+${name}\n[^]*^State:\\s+S`, 'm').test(readFileSync(`/proc/${pid}/status`, 'utf8'))

test('pause leaves on SIGTERM', async () => {
  const pause = spawn(join(directory, 'pause'), { stdio: 'ignore' })
  await once(pause, 'spawn')
  const pid = pause.pid ?? assert.fail('no process')
  await until(() => waits(pid, 'pause'), 'pause waits')
  pause.kill('SIGTERM')
  const [code] = await once(pause, 'exit')
  assert.equal(code, 0)
})

for (const address of ['127.0.0.1', '::1']) {
  test(`a heartbeat of datagrams to ${address} counts its beats and those that are lost`, async () => {
    const port = String(await freePort())
    const program = join(directory, 'heartbeat')
    const server = spawn(program, ['serve', port], { stdio: 'ignore', detached: true })
    const client = spawn(program, ['ask-udp', address, port], { stdio: ['ignore', 'pipe', 'inherit'] })
    const line = async () =>
      /^beats=(?<beats>\d+) worst=[\d.]+ lost=(?<lost>\d+)\n/.exec(String((await once(client.stdout, 'data'))[0]))?.groups
    const end = () => server.signalCode === null && process.kill(-(server.pid ?? assert.fail('no server')), 'SIGKILL')
    try {
      const hears = (what: string, told: (beats: number, lost: number) => boolean) =>
        until(async () => {
          const { beats, lost } = (await line()) ?? {}
          return told(Number(beats), Number(lost))
        }, what)
      // A client that was up first has spent its first second on a port that nobody had bound yet.
      await hears('beats', (beats, lost) => beats > 0 && lost === 0)
      // An answer that comes after more than a second is late, and not lost.
      const group = -(server.pid ?? assert.fail('no server'))
      process.kill(group, 'SIGSTOP')
      await hears('silence', (_, lost) => lost > 0)
      process.kill(group, 'SIGCONT')
      await hears('all answers', (beats, lost) => beats > 0 && lost === 0)
      end()
      await hears('silence again', (_, lost) => lost > 0)
    } finally {
      end()
      client.kill('SIGKILL')
    }
  })

  test(`measuring with ${address} tells what an exchange and a new connection take; without a server it ends with a reason`, async () => {
    const port = String(await freePort())
    const program = join(directory, 'heartbeat')
    const measure = () => spawnSync(program, ['measure', address, port, '100', '20'], { encoding: 'utf8' })
    const without = measure()
    assert.deepEqual([without.status, /refused/.test(without.stderr)], [1, true])
    const server = spawn(program, ['serve', port], { stdio: 'ignore', detached: true })
    try {
      await until(() => measure().status === 0, 'the server listens')
      const { stdout, stderr } = measure()
      const told = /^exchange_us=(?<exchange>[\d.]+) connect_us=(?<connect>[\d.]+)\n$/.exec(stdout)?.groups
      assert.ok(Number(told?.exchange) > 0 && Number(told?.connect) > 0, stdout + stderr)
    } finally {
      process.kill(-(server.pid ?? assert.fail('no server')), 'SIGKILL')
    }
  })

  test(`a heartbeat to ${address} counts its beats, and ends with a reason when its connection breaks`, async () => {
    const port = String(await freePort())
    const program = join(directory, 'heartbeat')
    const server = spawn(program, ['serve', port], { stdio: 'ignore', detached: true })
    const client = spawn(program, ['ask', address, port], { stdio: ['ignore', 'pipe', 'pipe'] })
    try {
      const [line] = await once(client.stdout, 'data')
      const told = /^beats=(?<beats>\d+) worst=(?<worst>[\d.]+)\n/.exec(String(line))?.groups
      assert.ok(Number(told?.beats) > 0 && Number(told?.worst) > 0, String(line))
    } finally {
      // The group: the connection's own process too.
      process.kill(-(server.pid ?? assert.fail('no server')), 'SIGKILL')
    }
    const [reason] = await once(client.stderr, 'data')
    assert.match(String(reason), /the connection broke/)
    const code = client.exitCode ?? (await once(client, 'exit'))[0]
    assert.equal(code, 1)
  })
}
