// SPDX-License-Identifier: Apache-2.0
import { rmSync } from 'node:fs'
import { connect, createServer } from 'node:net'

/**
 * The far half of the way from this machine's loopback to the API server: runs in the control plane's namespace and
 * joins each connection of a unix socket to the API server. `node gateway.ts <socket> <port>`.
 */
const [socketPath = '', port = '6443'] = process.argv.slice(2)
rmSync(socketPath, { force: true })
createServer(near => {
  const far = connect(Number(port), '127.0.0.1')
  near.on('error', () => far.destroy())
  far.on('error', () => near.destroy())
  near.pipe(far).pipe(near)
}).listen(socketPath)
