// SPDX-License-Identifier: Apache-2.0
// Serves and asks with real sockets, in whatever namespace and cgroup it was started in, as the messages of its parent say.
import { createSocket, type Socket as Datagrams } from 'node:dgram'
import { once } from 'node:events'
import { connect, createServer, isIPv6, type Socket as Stream } from 'node:net'
import { withPort } from '#net/ip.ts'

/** `udp` sends each datagram to an address; `udp-connected` names it once. `mapped`: an IPv4 address by a socket of IPv6. */
export type Protocol = 'tcp' | 'udp' | 'udp-connected'
export type Command =
  | { readonly do: 'serve'; readonly name: string; readonly host: string; readonly port: number }
  | { readonly do: 'open'; readonly id: number; readonly protocol: Protocol; readonly host: string; readonly port: number }
  | { readonly do: 'ask'; readonly id: number }
  | { readonly do: 'close'; readonly id: number }
/** Who answered, and whom the socket believes to talk to. */
export interface Answer {
  readonly name: string
  readonly peer: string
}

interface Conversation {
  ask(): Promise<Answer>
  close(): void
}

const patience = 60_000
const open = new Map<number, Conversation>()

async function serve({ name, host, port }: Extract<Command, { do: 'serve' }>): Promise<void> {
  const streams = createServer(socket => socket.on('data', () => socket.write(name)).on('error', () => socket.destroy()))
  const datagrams = createSocket(isIPv6(host) ? 'udp6' : 'udp4')
  datagrams.on('message', (_, from) => datagrams.send(name, from.port, from.address))
  streams.listen(port, host)
  datagrams.bind(port, host)
  await Promise.all([once(streams, 'listening'), once(datagrams, 'listening')])
}

async function talk({ protocol, host, port }: Extract<Command, { do: 'open' }>): Promise<Conversation> {
  if (protocol === 'tcp') {
    const socket = connect(port, host)
    await once(socket, 'connect', { signal: AbortSignal.timeout(patience) })
    return stream(socket)
  }
  const socket = createSocket(isIPv6(host) ? 'udp6' : 'udp4')
  if (protocol === 'udp') return datagrams(socket, () => socket.send('?', port, host))
  socket.connect(port, host)
  await once(socket, 'connect', { signal: AbortSignal.timeout(patience) })
  return connected(socket)
}

function stream(socket: Stream): Conversation {
  const ask = async () => {
    const answered = once(socket, 'data', { signal: AbortSignal.timeout(patience) })
    socket.write('?')
    const [name] = await answered
    return { name: String(name), peer: withPort(socket.remoteAddress ?? '', socket.remotePort ?? 0) }
  }
  return { ask, close: () => socket.destroy() }
}

/** What recvmsg says of the sender. */
function datagrams(socket: Datagrams, send: () => void): Conversation {
  const ask = async () => {
    const answered = once(socket, 'message', { signal: AbortSignal.timeout(patience) })
    send()
    const [name, from] = await answered
    return { name: String(name), peer: withPort(from.address, from.port) }
  }
  return { ask, close: () => socket.close() }
}

/** What getpeername says must be what recvmsg says. Once it has failed it is of no use any more. */
function connected(socket: Datagrams): Conversation {
  const { ask, close } = datagrams(socket, () => socket.send('?'))
  let failure: Error | undefined
  socket.on('error', e => {
    failure = e
  })
  const both = async () => {
    if (failure !== undefined) throw failure
    const answer = await ask()
    const { address, port } = socket.remoteAddress()
    const peer = withPort(address, port)
    return peer === answer.peer ? answer : { ...answer, peer: `${answer.peer}, not ${peer}` }
  }
  return { ask: both, close }
}

async function perform(command: Command): Promise<Answer | undefined> {
  switch (command.do) {
    case 'serve':
      await serve(command)
      return undefined
    case 'open':
      open.set(command.id, await talk(command))
      return undefined
    case 'ask':
      return open.get(command.id)?.ask()
    case 'close':
      open.get(command.id)?.close()
      open.delete(command.id)
      return undefined
  }
}

process.on('message', ({ number, command }: { number: number; command: Command }) => {
  perform(command).then(
    answer => process.send?.({ number, answer }),
    (e: unknown) => process.send?.({ number, error: String(e) }),
  )
})
process.on('disconnect', () => process.exit())
