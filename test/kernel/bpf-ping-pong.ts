// SPDX-License-Identifier: Apache-2.0
// `serve <port>` echoes datagrams and says when it does. `ask <address> <port> <count> <seconds>` sends that many, each once and after the answer to the one
// before, and says how many were answered within so many seconds each.
import { createSocket } from 'node:dgram'
import { once } from 'node:events'

const [mode, ...args] = process.argv.slice(2)
const socket = createSocket('udp4')

if (mode === 'serve') {
  socket.on('message', (data, from) => socket.send(data, from.port, from.address))
  socket.bind(Number(args[0]), () => process.stdout.write('ready\n'))
} else {
  const [address, port, count, seconds] = [args[0], Number(args[1]), Number(args[2]), Number(args[3])]
  let answered = 0
  for (let i = 0; i < count; i++) {
    socket.send(String(i), port, address)
    const [data] = await once(socket, 'message', { signal: AbortSignal.timeout(seconds * 1000) }).catch(() => [undefined])
    if (String(data) === String(i)) answered++
  }
  socket.close()
  process.stdout.write(String(answered))
}
