// SPDX-License-Identifier: Apache-2.0
import { chmod, mkdir, rename, rm } from 'node:fs/promises'
import { createServer, type Server, type Socket } from 'node:net'
import { dirname } from 'node:path'
import { AppError } from '#lib/errors.ts'
import type { Services, ServicesDeps } from '#rpc/grpc/services.ts'

export interface GrpcDeps extends ServicesDeps {
  /** Path of the socket; Terway's is `defaultSocket`. */
  readonly socket: string
}

/**
 * Serves TerwayBackend and TerwayTracing. gRPC itself is loaded by the first connection: most nodes never see one, and it takes memory.
 * The socket is bound under another name, made 0600 and renamed: nobody can connect before the mode is right, and what a crashed
 * predecessor left is replaced in one step. Throws AppError `grpc-listen`.
 */
export async function serveGrpc(deps: GrpcDeps): Promise<{ close(): Promise<void> }> {
  const connections = new Set<Socket>()
  let services: Promise<Services> | undefined
  const server = createServer(connection => {
    connections.add(connection)
    connection.once('close', () => connections.delete(connection))
    // Its end is enough to know; until gRPC has it nobody else listens.
    connection.on('error', () => connection.destroy())
    services ??= import('#rpc/grpc/services.ts').then(m => m.makeServices(deps))
    // It may have ended meanwhile.
    void services.then(s => connection.destroyed || s.serve(connection))
  })
  await listen(server, deps.socket)
  return {
    close: async () => {
      server.close()
      for (const connection of connections) connection.destroy()
      const loaded = await services
      loaded?.close()
      await rm(deps.socket, { force: true })
    },
  }
}

async function listen(server: Server, socket: string): Promise<void> {
  const fresh = `${socket}.new`
  try {
    await mkdir(dirname(socket), { recursive: true })
    await rm(fresh, { force: true })
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject)
      server.listen({ path: fresh }, resolve)
    })
    await chmod(fresh, 0o600)
    await rename(fresh, socket)
  } catch (cause) {
    server.close()
    throw new AppError('grpc-listen', `cannot serve gRPC on ${socket}`, { cause })
  }
}
