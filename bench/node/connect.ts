// SPDX-License-Identifier: Apache-2.0
// A process inside one network namespace: for each address on standard input it tries port 8080 until somebody accepts, then
// prints the address.
import { connect } from 'node:net'
import { createInterface } from 'node:readline'

const again = 2
const port = 8080

function attempt(host: string): void {
  const socket = connect({ host, port })
  // A SYN that went into nothing would be repeated only after a second.
  socket.setTimeout(50, () => socket.destroy(new Error('no answer')))
  socket.once('connect', () => {
    socket.destroy()
    console.log(host)
  })
  socket.once('error', () => setTimeout(attempt, again, host))
}

createInterface({ input: process.stdin })
  .on('line', attempt)
  .on('close', () => process.exit())
