// SPDX-License-Identifier: Apache-2.0
// A process inside one network namespace that sends and answers real packets. Commands come as JSON lines on stdin
// (see datapath-lab.ts), answers go out the same way. It ends when its stdin does.
import { createSocket } from 'node:dgram'
import { connect, createServer } from 'node:net'
import { createInterface } from 'node:readline'

interface Command {
  readonly id: number
  readonly cmd: 'serve' | 'ask' | 'beat' | 'beats'
  readonly host?: string
  readonly port: number
  readonly name?: string
  readonly timeoutMs?: number
  readonly bytes?: number
}

/** Heartbeats of the one long connection: sent, echoed, and whether it ended. */
const beats = { sent: 0, echoed: 0, ended: '' }

/** UDP: answers "<name> <asker's address>". TCP: echoes. */
function serve(port: number, name: string): Promise<string> {
  const udp = createSocket({ type: 'udp6', ipv6Only: false })
  udp.on('message', (_data, from) => udp.send(`${name} ${from.address.replace('::ffff:', '')}`, from.port, from.address))
  const tcp = createServer(socket => {
    socket.on('error', () => socket.destroy())
    socket.pipe(socket)
  })
  return new Promise(resolve => udp.bind(port, () => tcp.listen(port, () => resolve('ok'))))
}

/** Asks every 20 ms until an answer comes or the time is over. */
function ask(host: string, port: number, timeoutMs: number, bytes: number): Promise<string> {
  const socket = createSocket(host.includes(':') ? 'udp6' : 'udp4')
  return new Promise(resolve => {
    const finish = (answer: string) => {
      clearInterval(again)
      clearTimeout(end)
      socket.close()
      resolve(answer)
    }
    const send = () => socket.send('?'.repeat(bytes), port, host, () => undefined)
    const again = setInterval(send, 20)
    const end = setTimeout(finish, timeoutMs, 'timeout')
    socket.on('error', () => undefined)
    socket.on('message', data => finish(data.toString()))
    send()
  })
}

function beat(host: string, port: number): Promise<string> {
  const socket = connect({ host, port, noDelay: true })
  socket.on('data', data => {
    beats.echoed += data.length
  })
  socket.on('error', e => {
    beats.ended = e.message
  })
  socket.on('close', () => {
    beats.ended ||= 'closed'
  })
  return new Promise(resolve =>
    socket.once('connect', () => {
      setInterval(() => {
        socket.write('.')
        beats.sent++
      }, 5)
      resolve('ok')
    }),
  )
}

async function run(c: Command): Promise<unknown> {
  switch (c.cmd) {
    case 'serve':
      return serve(c.port, c.name ?? '')
    case 'ask':
      return ask(c.host ?? '', c.port, c.timeoutMs ?? 2000, c.bytes ?? 1)
    case 'beat':
      return beat(c.host ?? '', c.port)
    case 'beats':
      return beats
  }
}

const lines = createInterface({ input: process.stdin })
lines.on('line', async line => {
  const command: Command = JSON.parse(line)
  process.stdout.write(`${JSON.stringify({ id: command.id, answer: await run(command) })}\n`)
})
lines.on('close', () => process.exit())
