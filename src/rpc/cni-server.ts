// SPDX-License-Identifier: Apache-2.0
import { chmodSync, mkdirSync, rmSync } from 'node:fs'
import { createServer, type Server, type Socket } from 'node:net'
import { dirname } from 'node:path'
import type { Logger } from '#lib/log.ts'
import { cniError, cniNumber, formatError } from '#rpc/cni-error.ts'
import { type CniRequest, parseRequest, type RawRequest, splitFrame, versionForErrors } from '#rpc/cni-message.ts'

/** Environment (64 KiB) and standard input (1 MiB) as the shim limits them. */
const frameLimit = 64 * 1024 + 1 + 1024 * 1024
/** The shim sends at once; who does not in this many milliseconds is cut off. */
const receiveTimeout = 10_000

/** Answers one parsed request: the JSON of the result, or undefined where the verb has none. Throws AppError<CniCode>. */
export type CniHandler = (request: CniRequest, received: number) => Promise<object | undefined>

export interface CniServerOptions {
  readonly path: string
  readonly handler: CniHandler
  readonly log: Logger
  /** Monotonic milliseconds, taken when the request is complete. */
  readonly now: () => number
  /** Told for every answer, refused requests included: verb as sent, CNI error number (0 = success), ms. */
  readonly answered?: (verb: string, code: number, ms: number) => void
}

/** Serves the shim's protocol on a unix socket of mode 0600; a stale socket file is replaced. Closing stops accepting, answers under way are still sent. */
export async function serveCni(options: CniServerOptions): Promise<Server> {
  mkdirSync(dirname(options.path), { recursive: true })
  rmSync(options.path, { force: true })
  const server = createServer({ allowHalfOpen: true }, socket => receive(socket, options))
  const mask = process.umask(0o177)
  try {
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject)
      server.listen(options.path, () => resolve())
    })
  } finally {
    process.umask(mask)
  }
  chmodSync(options.path, 0o600)
  server.on('error', err => options.log.error({ err }, 'CNI socket failed'))
  return server
}

function receive(socket: Socket, options: CniServerOptions): void {
  const chunks: Buffer[] = []
  let size = 0
  socket.setTimeout(receiveTimeout, () => socket.destroy())
  socket.on('error', err => options.log.debug({ err }, 'a CNI client went away'))
  socket.on('data', (chunk: Buffer) => {
    size += chunk.length
    if (size > frameLimit) socket.destroy()
    else chunks.push(chunk)
  })
  socket.on('end', () => {
    socket.setTimeout(0)
    void reply(socket, Buffer.concat(chunks), options)
  })
}

async function reply(socket: Socket, frame: Buffer, options: CniServerOptions): Promise<void> {
  const received = options.now()
  let raw: RawRequest = { env: {}, stdin: '' }
  let code = 0
  let body: object | undefined
  try {
    raw = splitFrame(frame)
    body = await options.handler(parseRequest(raw), received)
  } catch (e) {
    code = cniNumber(e)
    body = formatError(versionForErrors(raw.stdin), e)
    log(options.log, raw, code, e)
  }
  const ms = options.now() - received
  options.answered?.(raw.env.CNI_COMMAND ?? '', code, ms)
  socket.end(`${code === 0 ? 0 : 1}\n${body === undefined ? '' : JSON.stringify(body)}\n`)
}

function log(logger: Logger, raw: RawRequest, code: number, err: unknown): void {
  const fields = { verb: raw.env.CNI_COMMAND, container: raw.env.CNI_CONTAINERID, args: raw.env.CNI_ARGS, code, err }
  if (code === cniNumber(cniError('internal', ''))) logger.error(fields, 'CNI request failed')
  else logger.warn(fields, 'CNI request refused')
}
