// SPDX-License-Identifier: Apache-2.0
import { createSocket } from 'node:dgram'
import { isIPv6 } from 'node:net'

/** Sends one UDP datagram from a chosen source address: `node udp-send.ts <source> <destination> <port>`. */
const [source = '', destination, port] = process.argv.slice(2)
const socket = createSocket(isIPv6(source) ? 'udp6' : 'udp4')
socket.bind(0, source, () => socket.send('x', Number(port), destination, () => socket.close()))
