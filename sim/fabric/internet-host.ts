// SPDX-License-Identifier: Apache-2.0
import { createServer } from 'node:http'

/**
 * A host of the internet: answers every request with the client's address as it sees it, so that a test knows which
 * translation a packet went through. Run inside the internet namespace: `node internet-host.ts [port]`.
 */
const port = Number(process.argv[2] ?? 80)
const server = createServer((request, response) => {
  const from = request.socket.remoteAddress?.replace(/^::ffff:/, '') ?? ''
  response.setHeader('content-type', 'text/plain')
  response.setHeader('connection', 'close')
  response.end(`${from}\n`)
})
server.listen(port, '::', () => console.log(`listening on ${port}`))
