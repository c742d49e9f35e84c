// SPDX-License-Identifier: Apache-2.0
import { type AddressInfo, connect, createServer } from 'node:net'

/** The near half of the way to the API server: a port on 127.0.0.1 joined to the gateway's unix socket. Resolves to the port. */
export function openLoopback(socketPath: string, port: number): Promise<number> {
  const server = createServer(near => {
    const far = connect(socketPath)
    near.on('error', () => far.destroy())
    far.on('error', () => near.destroy())
    near.pipe(far).pipe(near)
  })
  return new Promise((resolve, reject) => {
    server.once('error', reject)
    server.listen(port, '127.0.0.1', () => resolve((server.address() as AddressInfo).port))
  })
}
