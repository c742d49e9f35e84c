// SPDX-License-Identifier: Apache-2.0
import { createSocket } from 'node:dgram'

/** Sends datagrams from a connected socket until the kernel says why nobody answers; prints that, or `timeout`. */
const [host = '', port = ''] = process.argv.slice(2)
const socket = createSocket(host.includes(':') ? 'udp6' : 'udp4')
const end = (word: string) => {
  console.log(word)
  process.exit()
}
setTimeout(end, 60_000, 'timeout')
socket.on('error', (e: NodeJS.ErrnoException) => end(e.code ?? e.message))
socket.connect(Number(port), host, () =>
  setInterval(() => socket.send('?', e => e && end((e as NodeJS.ErrnoException).code ?? e.message)), 20),
)
