// SPDX-License-Identifier: Apache-2.0
import { randomInt } from 'node:crypto'
import { once } from 'node:events'
import { createServer } from 'node:net'

/** A port that nobody has, below those that the kernel gives away: neither a listener nor a connection gets it before it is used, or while its server restarts. */
export async function freePort(): Promise<number> {
  const port = randomInt(10_000, 30_000)
  const server = createServer().listen(port)
  const isFree = await once(server, 'listening').then(
    () => true,
    () => false,
  )
  if (!isFree) return freePort()
  await new Promise(resolve => server.close(resolve))
  return port
}
