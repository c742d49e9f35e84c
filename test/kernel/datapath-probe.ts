// SPDX-License-Identifier: Apache-2.0
// A process inside one network namespace that sends and answers real packets. Commands come as JSON lines on stdin
// (see datapath-lab.ts), answers go out the same way. It ends when its stdin does.
import { createSocket } from 'node:dgram'
import { connect, createServer, type Socket } from 'node:net'
import { networkInterfaces } from 'node:os'
import { createInterface } from 'node:readline'

interface Command {
  readonly id: number
  readonly cmd: 'serve' | 'ask' | 'stream' | 'beat' | 'pulse' | 'hear' | 'speak' | 'call' | 'beats' | 'all' | 'hush'
  readonly host?: string
  readonly port: number
  readonly name?: string
  readonly timeoutMs?: number
  readonly bytes?: number
  readonly everyMs?: number
  /** The address to ask from. */
  readonly source?: string
}

interface Beats {
  sent: number
  echoed: number
  /** Why a connection ended; '' while it lives. */
  ended: string
}

/** Long connections and rows of datagrams, by kind and host. */
const beats = new Map<string, Beats>()
const timers = new Set<NodeJS.Timeout>()

function newBeats(kind: string, host: string): Beats {
  const made = { sent: 0, echoed: 0, ended: '' }
  beats.set(`${kind} ${host}`, made)
  return made
}

function every(ms: number, send: () => void): void {
  timers.add(setInterval(send, ms))
}

function hush(): string {
  for (const timer of timers) clearInterval(timer)
  timers.clear()
  return 'ok'
}

/** Connections on which this side speaks when it is told to. */
const listeners = new Set<Socket>()

function speak(): string {
  for (const socket of listeners) socket.write('.')
  return 'ok'
}

/** For what is to come about, also on a busy machine. */
const patience = 60_000

/**
 * UDP: answers the first byte of the question and "<name> <asker's address>". TCP: echoes; on the next port, speaks first, when it is told to; on the one after, says
 * "<name> <asker's address>" and ends.
 */
async function serve(port: number, name: string): Promise<string> {
  await answer(port, name)
  const tcp = createServer(socket => {
    socket.on('error', () => socket.destroy())
    socket.pipe(socket)
  })
  const late = createServer(socket => {
    socket.on('error', () => socket.destroy())
    listeners.add(socket)
    socket.on('close', () => listeners.delete(socket))
  })
  const naming = createServer(socket => {
    socket.on('error', () => socket.destroy())
    socket.end(`${name} ${socket.remoteAddress?.replace('::ffff:', '')}`)
  })
  return new Promise(resolve => {
    tcp.listen(port, () => late.listen(port + 1, () => naming.listen(port + 2, () => resolve('ok'))))
  })
}

/** A socket for every address, and one for those that come later: an answer has the address that was asked. */
async function answer(port: number, name: string): Promise<void> {
  const own = Object.values(networkInterfaces()).flatMap(addresses => addresses ?? [])
  for (const address of ['::', ...own.filter(a => a.scopeid === undefined || a.scopeid === 0).map(a => a.address)]) {
    const udp = createSocket({ type: address.includes(':') ? 'udp6' : 'udp4', reuseAddr: true })
    udp.on('message', (question, from) => {
      const text = Buffer.from(`${name} ${from.address.replace('::ffff:', '')}`)
      udp.send([question.subarray(0, 1), text], from.port, from.address)
    })
    await new Promise<void>(resolve => udp.bind(port, address, resolve))
  }
}

/**
 * Asks every 20 ms until an answer comes or the time is over. It listens on until the last question is answered, and with it all that were not lost:
 * an answer that finds nobody would draw an ICMP error, and one that is still on its way would be counted where the next exchange is.
 */
function ask(host: string, port: number, timeoutMs: number, bytes: number, source: string | undefined): Promise<string> {
  const socket = createSocket(host.includes(':') ? 'udp6' : 'udp4')
  let last = 0
  return new Promise(resolve => {
    const finish = (result: string) => {
      clearInterval(again)
      clearTimeout(end)
      socket.close()
      resolve(result)
    }
    const send = () => {
      last = (last + 1) % 256
      socket.send(Buffer.alloc(bytes, '?').fill(last, 0, 1), port, host, () => undefined)
    }
    const again = setInterval(send, 20)
    let answer = 'timeout'
    // The last question or its answer may have been lost: what came before is an answer all the same.
    const end = setTimeout(() => finish(answer), timeoutMs)
    socket.on('error', () => undefined)
    socket.on('message', data => {
      clearInterval(again)
      answer = data.toString('utf8', 1)
      if (data[0] === last) finish(answer)
    })
    socket.bind(0, source, send)
  })
}

/** Waits for the bytes to come back, and then for the other side's end of the connection: no packet of it comes later. */
function stream(host: string, port: number, timeoutMs: number, bytes: number): Promise<string> {
  const socket = connect({ host, port, timeout: timeoutMs })
  let left = bytes
  return new Promise(resolve => {
    const finish = (answer: string) => {
      socket.destroy()
      resolve(answer)
    }
    socket.on('error', e => finish(e.message))
    socket.on('timeout', () => finish(`timeout, ${left} bytes are missing`))
    socket.on('close', () => finish(left === 0 ? 'ok' : `closed, ${left} bytes are missing`))
    socket.on('data', data => {
      left -= data.length
      if (left === 0) socket.end()
    })
    socket.once('connect', () => socket.write(Buffer.alloc(bytes, '.')))
  })
}

/** What the other side says before it ends the connection; or the code of what went wrong. */
function call(host: string, port: number, timeoutMs: number): Promise<string> {
  const socket = connect({ host, port, timeout: timeoutMs })
  let said = ''
  return new Promise(resolve => {
    const finish = (answer: string) => {
      socket.destroy()
      resolve(answer)
    }
    socket.on('error', e => finish('code' in e ? String(e.code) : e.message))
    socket.on('timeout', () => finish('timeout'))
    socket.on('data', data => {
      said += data.toString()
    })
    socket.on('end', () => finish(said))
  })
}

/** A long connection on which what arrives is counted; without an interval it is silent. */
function beat(kind: string, host: string, port: number, ms?: number): Promise<string> {
  const mine = newBeats(kind, host)
  const socket = connect({ host, port, noDelay: true })
  socket.on('data', data => {
    mine.echoed += data.length
  })
  socket.on('error', e => {
    mine.ended = e.message
  })
  socket.on('close', () => {
    mine.ended ||= 'closed'
  })
  return new Promise(resolve => {
    socket.once('error', e => resolve(e.message))
    setTimeout(() => resolve('timeout'), patience).unref()
    socket.once('connect', () => {
      if (ms !== undefined) {
        every(ms, () => {
          socket.write('.')
          mine.sent++
        })
      }
      resolve('ok')
    })
  })
}

/** So many datagrams of a row may be on their way: where a process gets no time, its socket's queue must not fill. What comes after is sent slowly, for some may be lost. */
const [mostUnderWay, slowMs] = [16, 100]

/** Datagrams from one socket, which are counted and not sent again. Only who was asked answers. */
function pulse(host: string, port: number, ms: number): Promise<string> {
  const mine = newBeats('udp', host)
  const socket = createSocket(host.includes(':') ? 'udp6' : 'udp4')
  let [number, answered, sentAt] = [0, 0, 0]
  socket.on('error', e => {
    mine.ended = e.message
  })
  socket.on('message', ([first = 0], { address }) => {
    if (address !== host) return
    mine.echoed++
    answered = first
  })
  const send = () => {
    const underWay = (number - answered + 256) % 256
    if (underWay >= mostUnderWay && performance.now() - sentAt < slowMs) return
    number = (number + 1) % 256
    sentAt = performance.now()
    socket.send(Buffer.of(number), port, host, () => undefined)
    mine.sent++
  }
  return new Promise(resolve =>
    socket.bind(0, () => {
      every(ms, send)
      resolve('ok')
    }),
  )
}

async function run(c: Command): Promise<unknown> {
  switch (c.cmd) {
    case 'serve':
      return serve(c.port, c.name ?? '')
    case 'ask':
      return ask(c.host ?? '', c.port, c.timeoutMs ?? patience, c.bytes ?? 1, c.source)
    case 'stream':
      return stream(c.host ?? '', c.port, c.timeoutMs ?? patience, c.bytes ?? 1)
    case 'beat':
      return beat('tcp', c.host ?? '', c.port, c.everyMs ?? 5)
    case 'hear':
      return beat('hear', c.host ?? '', c.port + 1)
    case 'speak':
      return speak()
    case 'call':
      return call(c.host ?? '', c.port + 2, c.timeoutMs ?? patience)
    case 'pulse':
      return pulse(c.host ?? '', c.port, c.everyMs ?? 5)
    case 'beats':
      return beats.values().next().value
    case 'all':
      return Object.fromEntries(beats)
    case 'hush':
      return hush()
  }
}

const lines = createInterface({ input: process.stdin })
lines.on('line', async line => {
  const command: Command = JSON.parse(line)
  process.stdout.write(`${JSON.stringify({ id: command.id, answer: await run(command) })}\n`)
})
lines.on('close', () => process.exit())
